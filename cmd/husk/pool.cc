#include "vm/pool/pool.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <charconv>

#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "cmd/husk/table.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "vm/sandbox/vm_backend.h"
#include "vm/sizing/sizing.h"
#include "vm/template/template_store.h"

namespace husk::cmd {
namespace {

constexpr uint32_t kMost = 1000;

uint32_t number_of(const std::string& word) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size() || number > kMost)
    throw Error(ErrorKind::kInvalid, "pool: \"" + printable(word, 64) + "\" is no number of VMs from 0 to " +
                                         std::to_string(kMost));
  return number;
}

// From a template where they are used: it is made here, so that the VMs come from it.
vm::BootRequest boot_request(const Globals& globals, const spec::Options& options, const vm::Size& size) {
  vm::BootRequest boot = vm::boot_request(backend_options(globals, options), size);
  if (options.use_template &&
      vm::TemplateStore(options.template_folder, options.template_cap).make(boot.machine, options.virtiofsd))
    boot.template_folder = options.template_folder;
  return boot;
}

// Until a signal comes: whenever one is taken, another one is started. Then those that wait are ended.
void keep(const vm::Pool& pool, const vm::BootRequest& boot, uint32_t wanted) {
  signal(SIGCHLD, SIG_IGN);  // they are reaped by themselves
  UniqueFd signals = make_signalfd({SIGTERM, SIGINT, SIGHUP});
  const std::string place = pool.place(boot);
  UniqueFd changes(check(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify"));
  pollfd fds[] = {{signals.get(), POLLIN, 0}, {changes.get(), POLLIN, 0}};
  while (!fds[0].revents) {
    char events[4096];
    while (::read(changes.get(), events, sizeof events) > 0) {
    }
    // Each time, since a drain takes the folder away.
    make_dirs(place, 0700);
    check(inotify_add_watch(changes.get(), place.c_str(), IN_MOVED_FROM | IN_DELETE), "watching " + place);
    pool.fill(boot, wanted);
    poll(fds, 2, -1);
  }
  pool.drain();
}

void status(const vm::Pool& pool, bool json) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  std::vector<Row> rows = {{"PID", "VCPUS", "MEMORY", "POOL"}};
  for (const vm::PoolInfo& vm : pool.list()) {
    array.push_back({{"pid", vm.pid},
                     {"vcpus", vm.vcpus},
                     {"memory_mib", vm.memory_mib},
                     {"pool", vm.key},
                     {"answers", vm.answers}});
    const std::string memory = vm.answers ? std::to_string(vm.memory_mib) + " MiB" : "-";
    rows.push_back(
        {std::to_string(vm.pid), vm.answers ? std::to_string(vm.vcpus) : "does not answer", memory, vm.key});
  }
  print(json ? json_text(array, -1) + "\n" : table_text(rows, 8, 3));
}

}  // namespace

int pool_command(Context& context, const Args& args) {
  std::string format = "table";
  uint32_t vcpus = 0, memory = 0;
  Flags flags("husk pool fill N|keep N|status|drain [options]",
              "VMs that run and wait for a container: one that fits is taken by the next create.");
  flags.text("-f,--format", format, "of status: table or json")
      .number("--vcpus", vcpus, "of fill and keep: virtual CPUs (default: as husk.toml says)")
      .number("--memory", memory, "of fill and keep: MiB (default: as husk.toml says)");
  const Args words = flags.parse(args);
  check_words("pool", words, 1, 2);
  const std::string& what = words[0];
  const bool counts = what == "fill" || what == "keep";
  if (!counts && what != "status" && what != "drain")
    throw Error(ErrorKind::kInvalid,
                "pool: expected fill, keep, status or drain, got \"" + printable(what, 64) + "\"");
  check_words("pool", words, counts ? 2 : 1, counts ? 2 : 1);
  const spec::Options options = load_options(context.globals());
  const vm::Pool pool(options.template_folder);
  const vm::Size size{vcpus ? vcpus : options.vcpus, memory ? memory : options.memory};
  if (what == "fill")
    pool.fill(boot_request(context.globals(), options, size), number_of(words[1]));
  else if (what == "keep")
    keep(pool, boot_request(context.globals(), options, size), number_of(words[1]));
  else if (what == "status")
    status(pool, wants_json(format));
  else
    pool.drain();
  return 0;
}

}  // namespace husk::cmd
