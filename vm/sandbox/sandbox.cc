#include "vm/sandbox/sandbox.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/trace.h"
#include "vm/template/resume.h"
#include "vm/template/template_store.h"

namespace husk::vm {

Sandbox::Sandbox(BootRequest boot)
    : boot_(std::move(boot)),
      folder_(open_file(boot_.folder, O_PATH | O_DIRECTORY)),
      wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  if (!boot_.waits) add_container(boot_.id, boot_.takes_all);
  enter_private_mount_namespace();
  std::string folder = path_join(boot_.folder, "share");
  make_dirs(folder, 0755);  // a container's own user namespace has to get through it
  trace::Span share("virtiofsd");
  share_ = Share::start({boot_.virtiofsd, boot_.virtiofs_cache, folder});
  share.end();
  if (!resume_machine()) {
    trace::Span span("start QEMU");
    machine_ = start_qemu(boot_.machine);
    meet_agent();
  }
  spdlog::debug("virtiofsd and QEMU run");
  connections_ = std::make_unique<Connections>(*agent_);
  changes_ = std::make_unique<VolumeChanges>(*agent_);
  networks_ = std::make_unique<Networks>(plug_mutex_, *machine_, *agent_, [this](const std::string& key) {
    connections_->network_changed(key);
  });
  disks_ = std::make_unique<Disks>(plug_mutex_, *machine_, *agent_);
  console_ = std::make_unique<Console>(machine_->take_console());
  relay_ends_ = std::make_unique<RelayEnds>();
  clock_ = std::make_unique<GuestClock>(*agent_);
  boot_thread_ = std::thread([this] {
    if (boot_guest()) clock_->follow();
  });
}

Sandbox::~Sandbox() {
  end();
}

void Sandbox::wake() {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

// --- the guest's boot ---

// Whatever is wrong with the template costs time only. False: the VM has to boot.
bool Sandbox::resume_machine() {
  if (boot_.template_folder.empty()) return false;
  TemplateStore templates(boot_.template_folder);
  try {
    SavedVm saved = templates.open(boot_.machine);
    if (!saved) return false;
    machine_ = start_saved(boot_.machine, saved);
    trace::Span resume("resume");
    meet_agent();
    machine_->resume(std::move(saved.state));
    resumed_ = true;
    spdlog::debug("resumed from a template");
  } catch (const Error& e) {
    spdlog::warn("the template is removed, and the VM boots instead: {}", e.what());
    agent_.reset();
    machine_.reset();
    templates.remove(TemplateStore::key(boot_.machine));
  }
  return resumed_;
}

void Sandbox::meet_agent() {
  agent_ = std::make_unique<AgentClient>(machine_->take_agent());
}

// Returns at once. In a VM that boots, its kernel finds the share without a rescan, since the firmware still
// runs.
std::future<void> Sandbox::plug_share() {
  return std::async(std::launch::async, [this] {
    trace::name_thread("plug");
    trace::Span span("plug share");
    std::lock_guard lock(plug_mutex_);
    require_share();
    machine_->plug_share(Share::kTag, share_->take_socket());
  });
}

// False: it did not boot.
bool Sandbox::boot_guest() {
  trace::name_thread("boot");
  std::unique_ptr<Error> error;
  try {
    std::future<void> plugged = plug_share();
    trace::Span hello_span("hello");
    AgentClient::Hello hello = agent_->hello("husk", boot_.log_level);
    hello_span.end();
    spdlog::debug("guest kernel {}, agent {}", printable(hello.kernel_release),
                  printable(hello.agent_version));
    plugged.get();
    trace::Span span("mount share");
    agent_->mount_share(Share::kTag, resumed_);
    spdlog::debug("share mounted");
  } catch (const Error& e) {
    error = std::make_unique<Error>(e);
    error->add_context("booting the VM");
  } catch (const std::exception& e) {  // no thread, no memory
    error = std::make_unique<Error>(ErrorKind::kInternal, std::string("booting the VM: ") + e.what());
  }
  const bool well = !error;
  std::lock_guard lock(mutex_);
  booted_ = true;
  boot_error_ = std::move(error);
  booted_changed_.notify_all();
  return well;
}

void Sandbox::wait_for_guest() {
  std::unique_lock lock(mutex_);
  if (!booted_changed_.wait_for(lock, deadline::kGuestBoot + deadline::kAgentCall,
                                [this] { return booted_; }))
    throw Error(ErrorKind::kTimeout, "the VM did not boot in time", ETIMEDOUT);
  if (boot_error_) throw *boot_error_;
}

void Sandbox::take(const BootRequest& boot) {
  trace::Span span("hello");
  agent_->hello("husk", boot.log_level);
  add_container(boot.id, boot.takes_all);
}

std::vector<pid_t> Sandbox::pids() {
  std::lock_guard plug_lock(plug_mutex_);
  require_share();
  std::vector<pid_t> pids = share_->pids();
  pids.insert(pids.begin(), {getpid(), machine_->pid()});
  return pids;
}

void Sandbox::explain_guest_death(Error& error) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) {
      error = Error(ErrorKind::kGuestDied, "husk-sandbox ended the VM meanwhile: " + error.message(),
                    error.errnum());
      return;
    }
  }
  std::lock_guard lock(plug_mutex_);
  if (!share_) return;  // ended since then
  // The connection ends a moment before QEMU does.
  if (wait_pidfd(machine_->pidfd(), std::chrono::seconds(1)))
    while (console_->pump()) {
    }
  std::string words = machine_->last_words();
  std::string console = console_->last_words();
  std::string share = share_->last_words();
  if (error.kind() != ErrorKind::kGuestDied && words.empty()) return;
  std::string text = error.message();
  if (!words.empty()) text += "; QEMU: " + printable(words);
  if (!share.empty()) text += "; virtiofsd: " + printable(share);
  if (!console.empty()) text += "; the guest's last words: " + console;
  error = Error(ErrorKind::kGuestDied, text, error.errnum());
}

void Sandbox::vmm_died() {
  std::lock_guard plug_lock(plug_mutex_);
  // A guest that panics prints its reason just before: read it all.
  while (console_ && console_->pump()) {
  }
  std::string words = machine_->last_words();
  // Not an error line: engines take the last one of those for the answer to their command.
  spdlog::warn("the VM ended by itself{}{}; its console's last lines: {}", words.empty() ? "" : ": ",
               printable(words), console_->tail());
  std::lock_guard lock(mutex_);
  vmm_dead_ = true;
  // One that is still being created has its request to hear it from.
  for (auto& [id, container] : containers_)
    if (container.status != Status::kCreating) container.status = Status::kStopped;
}

void Sandbox::share_died() {
  std::lock_guard plug_lock(plug_mutex_);
  spdlog::warn("virtiofsd ended by itself ({}): ending the VM", printable(share_->last_words()));
  machine_->end();
}

void Sandbox::require_share() {
  if (!share_) throw Error(ErrorKind::kGuestDied, "the VM is ending");
}

// --- the end ---

bool Sandbox::guest_lives() {
  std::lock_guard lock(mutex_);
  return booted_ && !boot_error_ && !vmm_dead_;
}

bool Sandbox::any_lives() {
  std::lock_guard lock(mutex_);
  for (const auto& [id, container] : containers_)
    if (container.status != Status::kStopped) return true;
  return false;
}

bool Sandbox::Container::over() const {
  return status == Status::kStopped && std::all_of(processes.begin(), processes.end(), [](const auto& p) {
           return p.second.complete || p.second.finished;
         });
}

bool Sandbox::idle() const {
  return std::all_of(containers_.begin(), containers_.end(), [](const auto& c) { return c.second.over(); });
}

bool Sandbox::tend() {
  uint64_t count;
  (void)!read(wake_.get(), &count, sizeof count);
  std::lock_guard lock(mutex_);
  for (auto& [id, container] : containers_) {
    for (auto it = container.processes.begin(); it != container.processes.end();) {
      const bool over = it->second.finished && it->second.relay;
      if (over) relay_ends_->take(std::move(it->second.relay));
      it = over ? container.processes.erase(it) : std::next(it);
    }
  }
  return busy_ == 0 && (end_asked_ || (had_container_ && idle()));
}

void Sandbox::end() noexcept {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
  }
  try {
    // Of one that has ended all that it wrote is on the host.
    if (agent_ && guest_lives() && any_lives()) agent_->shutdown();
  } catch (const std::exception& e) {
    spdlog::debug("the guest's shutdown: {}", e.what());
  }
  if (networks_) networks_->stop();
  if (connections_) connections_->stop();
  if (changes_) changes_->stop();
  trace::Span span("end QEMU");
  if (machine_) {
    std::lock_guard plug_lock(plug_mutex_);
    machine_->end();
  }
  if (clock_) clock_->stop();
  if (boot_thread_.joinable()) boot_thread_.join();
  std::map<std::string, Container> containers;
  {
    std::lock_guard lock(mutex_);
    containers.swap(containers_);
  }
  for (auto& [id, container] : containers) end_relays(container.processes);
  relay_ends_.reset();
  if (networks_) networks_->end();
  if (connections_) connections_->end();
  if (changes_) changes_->end();
  std::lock_guard plug_lock(plug_mutex_);
  share_.reset();  // from here on no create gets anywhere
  unlinkat(folder_.get(), "share", AT_REMOVEDIR);
  std::error_code error;
  rmdir(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(folder_.get()), error).c_str());
  spdlog::debug("the VM is gone");
}

}  // namespace husk::vm
