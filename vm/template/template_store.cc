#include "vm/template/template_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/guest_words.h"
#include "libcontainer/base/lock.h"
#include "libcontainer/base/message.h"
#include "vm/qemu/command_line.h"
#include "vm/share/share.h"
#include "vm/template/identity.h"
#include "vm/template/ram.h"

namespace husk::vm {
namespace {

constexpr const char* kMemory = "memory";
constexpr const char* kState = "state";
constexpr const char* kInfo = "info.json";
constexpr const char* kShare = "share";  // only while it is made
constexpr const char* kUnfinished = ".tmp";
constexpr const char* kFailed = ".failed";  // a file: when it could not be made
constexpr QemuFds kAnyFds{.memory = 0};
constexpr uint64_t kNewTemplateMib = 64;  // room for one more, before it is made

MachineConfig to_be_saved(MachineConfig machine) {
  machine.kernel_params += machine.kernel_params.empty() ? "" : " ";
  machine.kernel_params += kTemplateParameter;
  return machine;
}

// What was asked for. Not the TSC's frequency, which is this boot's and may be measured anew each time.
std::string arguments_hash(const MachineConfig& machine) {
  std::string text;
  for (const std::string& argument : qemu_arguments(to_be_saved(machine), kAnyFds, 0))
    text += argument + "\n";
  return text_hash(text);
}

std::string machine_text(const MachineConfig& m) {
  return std::string(m.type == MachineType::kQ35 ? "q35" : "microvm") + ", " +
         (m.accel == Accel::kKvm ? "kvm" : "tcg") + ", " + std::to_string(m.vcpus) + " vCPU, " +
         std::to_string(m.memory_mib) + " MiB, " + base_name(m.kernel);
}

// What a file holds beside its holes.
uint64_t data_bytes(const std::string& path) {
  return ram_bytes(open_file(path, O_RDONLY).get());
}

// Reads the console up to the agent's word that it is ready.
void wait_ready(Machine& machine, int console) {
  auto until = std::chrono::steady_clock::now() + deadline::kGuestBoot;
  std::string text;
  while (text.find(kReadyToBeSaved) == std::string::npos) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !wait_readable(console, static_cast<int>(left.count())))
      throw Error(ErrorKind::kTimeout, "the guest is not ready to be saved in time", ETIMEDOUT);
    char buffer[4096];
    ssize_t n = ::read(console, buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      wait_pidfd(machine.pidfd(), deadline::kProcessEnd);
      throw Error(ErrorKind::kGuestDied,
                  "the guest ended (" + machine.last_words() + "); its last words: " +
                      printable(text.substr(text.size() - std::min<size_t>(text.size(), 200))));
    }
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > 2 * sizeof buffer) text.erase(0, text.size() - sizeof buffer);
  }
}

}  // namespace

std::string TemplateStore::key(const MachineConfig& machine) {
  std::string text = read_file("/proc/sys/kernel/random/boot_id") + arguments_hash(machine);
  for (const std::string& file : {machine.vmm, machine.kernel, machine.initrd, machine.firmware})
    text += file_identity(file) + "\n";
  return text_hash(text);
}

std::string TemplateStore::path(const std::string& key) const {
  return path_join(folder_, key);
}

UniqueFd TemplateStore::lock() const {
  make_dirs(folder_, 0700);
  UniqueFd folder = open_file(folder_, O_RDONLY | O_DIRECTORY);
  if (!lock_exclusively(folder.get(), deadline::kTemplateLock))
    throw Error(ErrorKind::kTimeout, folder_ + " is busy with another template", ETIMEDOUT);
  return folder;
}

// What was recorded when it was made still holds: nothing was cut off.
bool TemplateStore::is_whole(const std::string& key) const {
  std::string folder = path(key);
  if (!path_exists(path_join(folder, kInfo))) return false;
  try {
    Json info = Json::parse(read_file(path_join(folder, kInfo)));
    return data_bytes(path_join(folder, kMemory)) == info.at("memory_bytes").get<uint64_t>() &&
           text_hash(read_file(path_join(folder, kState))) == info.at("state_hash").get<std::string>();
  } catch (const std::exception& e) {
    spdlog::debug("template {}: {}", folder, e.what());
    return false;
  }
}

bool TemplateStore::make(const MachineConfig& machine, const std::string& virtiofsd, bool again) const {
  if (cap_mib_ == 0) return false;
  std::string name = key(machine);
  if (is_whole(name)) return true;
  if (!again && failed_lately(name)) return false;
  UniqueFd held = lock();
  if (is_whole(name)) return true;  // whoever we waited for has made it
  if (!again && failed_lately(name)) return false;
  remove_outdated(machine);
  make_room();
  try {
    with_context("making the template " + path(name), [&] { try_build(machine, virtiofsd, name); });
  } catch (...) {
    // Empty, for there may be no room. Where not even that can be made, the next one tries again.
    const UniqueFd file(::open((path(name) + kFailed).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (file) futimens(file.get(), nullptr);
    throw;
  }
  unlink((path(name) + kFailed).c_str());
  return true;
}

bool TemplateStore::failed_lately(const std::string& key) const {
  struct stat st {};
  if (stat((path(key) + kFailed).c_str(), &st) != 0) return false;
  const std::chrono::seconds age(time(nullptr) - st.st_mtime);
  if (age.count() < 0 || age >= deadline::kTemplateRetry) return false;
  spdlog::debug("without a template: making {} failed {} s ago", path(key), age.count());
  return true;
}

void TemplateStore::try_build(const MachineConfig& machine, const std::string& virtiofsd,
                              const std::string& key) const {
  const std::string unfinished = path(key) + kUnfinished;
  remove_tree(path(key));
  remove_tree(unfinished);
  make_dirs(unfinished, 0700);
  try {
    build(machine, virtiofsd, unfinished);
    check(rename(unfinished.c_str(), path(key).c_str()), "rename " + unfinished);
  } catch (...) {
    remove_tree(unfinished);
    throw;
  }
}

// The share's device is there while the guest boots, so that its kernel knows it, and goes before the VM is
// saved.
void TemplateStore::build(const MachineConfig& machine, const std::string& virtiofsd,
                          const std::string& folder) const {
  const std::string empty = path_join(folder, kShare);
  make_dirs(empty, 0755);
  PlainShare share({virtiofsd, "auto", empty});
  UniqueFd ram = make_ram(uint64_t{machine.memory_mib} << 20);
  UniqueFd state = open_file(path_join(folder, kState), O_RDWR | O_CREAT | O_EXCL, 0600);
  std::unique_ptr<Machine> vm = start_qemu(to_be_saved(machine), {dup_fd(ram.get())});
  UniqueFd console = vm->take_console();
  UniqueFd agent = vm->take_agent();
  const Slot slots[] = {vm->plug_share(Share::kTag, share.take_socket()), vm->plug_dead_card()};
  wait_ready(*vm, console.get());
  for (const Slot& slot : slots) vm->finish_unplug(slot, deadline::kUnplug);
  vm->save(dup_fd(state.get()));
  vm->end();
  check(rmdir(empty.c_str()), "rmdir " + empty);
  UniqueFd memory = open_file(path_join(folder, kMemory), O_WRONLY | O_CREAT | O_EXCL, 0600);
  check(ftruncate(memory.get(), static_cast<off_t>(machine.memory_mib) << 20), "sizing " + folder);
  save_ram(ram.get(), memory.get());
  Json info = {{"machine", machine_text(machine)},
               {"arguments_hash", arguments_hash(machine)},
               {"memory_bytes", data_bytes(path_join(folder, kMemory))},
               {"state_hash", text_hash(read_file(path_join(folder, kState)))}};
  write_file(path_join(folder, kInfo), info.dump(), true);
}

SavedVm TemplateStore::open(const MachineConfig& machine) const {
  std::string name = key(machine);
  if (!path_exists(path(name))) return {};
  if (!is_whole(name)) {
    spdlog::warn("the template {} is damaged: it is removed, and not used", path(name));
    remove(name);
    return {};
  }
  SavedVm saved;
  saved.memory = open_file(path_join(path(name), kMemory), O_RDONLY);
  saved.state = open_file(path_join(path(name), kState), O_RDONLY);
  utimensat(AT_FDCWD, path(name).c_str(), nullptr, 0);  // used just now
  return saved;
}

std::vector<TemplateInfo> TemplateStore::list() const {
  std::vector<std::pair<int64_t, TemplateInfo>> found;  // with nanoseconds: two may be made in one second
  DIR* dir = opendir(folder_.c_str());
  if (!dir) return {};
  while (const dirent* entry = readdir(dir)) {
    std::string name = entry->d_name;
    struct stat st {};
    if (name[0] == '.' || stat(path(name).c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) continue;
    TemplateInfo info{name, "unfinished or damaged", 0};
    try {
      for (const char* file : {kMemory, kState}) info.bytes += data_bytes(path_join(path(name), file));
      if (is_whole(name)) info.machine = Json::parse(read_file(path_join(path(name), kInfo))).at("machine");
    } catch (const std::exception&) {
      // it is being removed just now
    }
    found.emplace_back(st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec, std::move(info));
  }
  closedir(dir);
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<TemplateInfo> out;
  out.reserve(found.size());
  for (auto& [time, info] : found) out.push_back(std::move(info));
  return out;
}

// The same machine of another kernel, initrd or QEMU: nobody will ask for it again.
void TemplateStore::remove_outdated(const MachineConfig& machine) const {
  std::string wanted = arguments_hash(machine);
  for (const TemplateInfo& info : list()) {
    try {
      Json json = Json::parse(read_file(path_join(path(info.key), kInfo)));
      if (json.at("arguments_hash") == wanted) remove(info.key);
    } catch (const std::exception& e) {
      spdlog::debug("template {}: {}", info.key, e.what());
      remove(info.key);  // unfinished, or damaged
    }
  }
}

void TemplateStore::make_room() const {
  uint64_t cap = uint64_t{cap_mib_} << 20, used = kNewTemplateMib << 20;
  for (const TemplateInfo& info : list()) {
    used += info.bytes;
    if (used <= cap) continue;
    spdlog::info("template {} ({}) makes room for another one", info.key, info.machine);
    remove(info.key);
  }
}

void TemplateStore::remove(const std::string& key) const {
  remove_tree(path(key));
}

size_t TemplateStore::destroy() const {
  if (!path_exists(folder_)) return 0;
  UniqueFd held = lock();
  std::vector<TemplateInfo> all = list();
  for (const TemplateInfo& info : all) remove(info.key);
  for (const std::string& name : list_entries(folder_))
    if (name.ends_with(kFailed)) unlink(path(name).c_str());
  return all.size();
}

}  // namespace husk::vm
