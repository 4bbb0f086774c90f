// Machine on QEMU: four socketpairs, one process, QMP for what is plugged.
#include <fcntl.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>

#include "vm/helper_process.h"
#include "vm/machine.h"
#include "vm/qemu/command_line.h"
#include "vm/qemu/qmp.h"

namespace husk::vm {
namespace {

// Of what comes from the guest: a frame of a busy process's output fits, page by page (each counts for more
// than itself). As much of it as net.core.wmem_max allows.
constexpr int kSendBuffer = 512 << 10;

class Qemu : public Machine {
 public:
  Qemu(const MachineConfig& config, HelperProcess process, UniqueFd qmp, UniqueFd agent, UniqueFd console)
      : config_(config),
        process_(std::move(process)),
        qmp_(std::move(qmp)),
        agent_(std::move(agent)),
        console_(std::move(console)) {}
  ~Qemu() override { process_.end(std::chrono::milliseconds(0)); }

  Slot plug_share(const std::string& tag, UniqueFd socket) override {
    return plug(
        "share " + tag, kSharePort, kSharePort + 1, [&](const std::string& id, const std::string& bus) {
          Json address = {{"type", "fd"}, {"data", {{"str", id}}}};
          Json backend = {{"type", "socket"}, {"data", {{"addr", address}, {"server", false}}}};
          give_fd(id, socket, [&] { qmp_.execute("chardev-add", {{"id", id}, {"backend", backend}}); });
          device_add({{"chardev-remove", {{"id", id}}}}, id,
                     {{"driver", "vhost-user-fs-pci"}, {"bus", bus}, {"chardev", id}, {"tag", tag}});
        });
  }

  Slot plug_network(UniqueFd tap, const std::string& mac, uint32_t mtu) override {
    return plug_late("network card " + mac, [&](const std::string& id, const std::string& bus) {
      Json backend = {{"type", "tap"}, {"id", id}, {"fd", id}, {"vhost", false}};
      const UniqueFd vhost = open_vhost_net();
      if (vhost) backend.update({{"vhost", true}, {"vhostfd", id + "-vhost"}});
      const auto add = [&] { qmp_.execute("netdev_add", backend); };
      give_fd(id, tap, [&] { vhost ? give_fd(id + "-vhost", vhost, add) : add(); });
      add_card(id, bus, mac, mtu);
    });
  }

  Slot plug_user_network(const std::string& mac, uint32_t mtu) override {
    return plug_late("network card " + mac, [&](const std::string& id, const std::string& bus) {
      qmp_.execute("netdev_add", {{"type", "user"}, {"id", id}});
      add_card(id, bus, mac, mtu);
    });
  }

  Slot plug_dead_card() override {
    return plug_late("network card", [&](const std::string& id, const std::string& bus) {
      qmp_.execute("netdev_add", {{"type", "hubport"}, {"id", id}, {"hubid", 0}});
      add_card(id, bus, "52:54:00:00:00:01", 0);
    });
  }

  // QEMU opens nothing: it duplicates the fd of the set whose access mode is what it needs.
  Slot plug_disk(UniqueFd disk, bool readonly) override {
    return plug_late("disk", [&](const std::string& id, const std::string& bus) {
      const Json set = {{"fdset-id", qmp_.execute("add-fd", Json::object(), {disk.get()}).at("fdset-id")}};
      Undo undo = {{"remove-fd", set}};
      try {
        qmp_.execute("blockdev-add", {{"driver", "host_device"},
                                      {"node-name", id},
                                      {"filename", "/dev/fdset/" + set.at("fdset-id").dump()},
                                      {"read-only", readonly},
                                      {"discard", "unmap"}});
      } catch (const Error&) {
        forget(undo);
        throw;
      }
      undo.insert(undo.begin(), {"blockdev-del", {{"node-name", id}}});
      Json device = {{"driver", "virtio-blk-pci"}, {"bus", bus}, {"drive", id}};
      if (int size = 0; ioctl(disk.get(), BLKSSZGET, &size) == 0) device["logical_block_size"] = size;
      device_add(undo, id, device);
    });
  }

  void ask_unplug(const Slot& slot) override {
    with_qemus_words("unplugging " + slot.id, [&] {
      qmp_.execute("device_del", {{"id", "dev-" + slot.id}});
    });
  }

  void finish_unplug(const Slot& slot, std::chrono::milliseconds patience) override {
    with_qemus_words("unplugging " + slot.id, [&] {
      const Undo undo = std::exchange(backends_[slot.id], {});
      backends_.erase(slot.id);
      try {
        const auto until = std::chrono::steady_clock::now() + patience;
        // A device has two such events, the other one with a path in place of the id.
        while (qmp_.wait_event("DEVICE_DELETED", until).at("data").value("device", "") != "dev-" + slot.id) {
        }
      } catch (const Error&) {
        forget(undo);
        throw;
      }
      for (const auto& [command, arguments] : undo) qmp_.execute(command, arguments);
      for (uint32_t port = 0; port < config_.hotplug_ports; ++port)
        if (hotplug_address(port) == slot.port) ports_[port] = false;
    });
  }

  void resume(UniqueFd state) override {
    with_qemus_words("resuming the VM", [&] {
      auto until = std::chrono::steady_clock::now() + deadline::kResume;
      set_migration_capabilities({"x-ignore-shared"});
      qmp_.execute("getfd", {{"fdname", "state"}}, {state.get()});
      qmp_.execute("migrate-incoming", {{"uri", "fd:state"}});
      qmp_.wait_event("RESUME", until);
    });
  }

  void save(UniqueFd state) override {
    with_qemus_words("saving the VM", [&] {
      set_migration_capabilities({"x-ignore-shared", "events"});
      qmp_.execute("getfd", {{"fdname", "state"}}, {state.get()});
      qmp_.execute("migrate", {{"uri", "fd:state"}});
      auto until = std::chrono::steady_clock::now() + deadline::kSave;
      for (std::string status; status != "completed";) {
        status = qmp_.wait_event("MIGRATION", until).at("data").at("status");
        if (status == "failed" || status == "cancelled")
          throw Error(ErrorKind::kInternal, "QEMU's migration " + status);
      }
    });
  }

  UniqueFd take_agent() override { return std::move(agent_); }
  UniqueFd take_console() override { return std::move(console_); }
  pid_t pid() const override { return process_.pid(); }
  int pidfd() const override { return process_.pidfd(); }
  std::string last_words() override { return process_.last_words(); }

  // QEMU keeps nothing back that it was to write: what it has told the guest as done is the host's kernel's.
  void end() noexcept override { process_.end(std::chrono::milliseconds(0)); }

 private:
  // The host's kernel carries the frames where it can. Opened here, since the container's device rules bind
  // QEMU, too. Empty without it, and under TCG, whose translation is what takes the time.
  UniqueFd open_vhost_net() const {
    return UniqueFd(config_.accel == Accel::kKvm ? ::open("/dev/vhost-net", O_RDWR | O_CLOEXEC) : -1);
  }

  using Undo = std::vector<std::pair<std::string, Json>>;  // QMP commands

  template <typename F>
  Slot plug_late(const std::string& what, F&& attach) {
    return plug(what, kSharePort + 1, config_.hotplug_ports, attach);
  }

  // Gives attach() a new name and the bus of a free port of these. A failed plug leaves the port free.
  template <typename F>
  Slot plug(const std::string& what, uint32_t first, uint32_t end, F&& attach) {
    Slot slot;
    with_qemus_words("plugging " + what, [&] {
      const auto last = ports_.begin() + std::min<ptrdiff_t>(end, std::ssize(ports_));
      const auto free = std::find(std::min(ports_.begin() + first, last), last, false);
      if (free == last)
        throw Error(ErrorKind::kUnsupported, "all " + std::to_string(config_.hotplug_ports) +
                                                 " hot-plug ports of the VM are in use (one by its files, "
                                                 "the others by network cards and disks)");
      const auto port = static_cast<uint32_t>(free - ports_.begin());
      std::string id = "plug" + std::to_string(next_id_++);
      attach(id, hotplug_bus(port));
      *free = true;
      slot = {id, hotplug_address(port)};
    });
    return slot;
  }

  // Hands fd to QEMU under a name for what takes it.
  template <typename F>
  void give_fd(const std::string& name, const UniqueFd& fd, F&& take) {
    qmp_.execute("getfd", {{"fdname", name}}, {fd.get()});
    try {
      take();
    } catch (const Error&) {
      forget({{"closefd", {{"fdname", name}}}});
      throw;
    }
  }

  // RAM that is shared with us is neither written nor read: it is in its file already.
  void set_migration_capabilities(std::initializer_list<const char*> names) {
    Json list = Json::array();
    for (const char* name : names) list.push_back({{"capability", name}, {"state", true}});
    qmp_.execute("migrate-set-capabilities", {{"capabilities", list}});
  }

  // When QEMU has ended, its last words are the reason, whatever else went wrong.
  template <typename F>
  void with_qemus_words(const std::string& what, F&& action) {
    try {
      action();
    } catch (Error& e) {
      std::string words = process_.last_words();
      if (!words.empty()) e = Error(ErrorKind::kGuestDied, "QEMU ended (" + words + ")", e.errnum());
      e.add_context(what);
      throw;
    }
  }

  void add_card(const std::string& id, const std::string& bus, const std::string& mac, uint32_t mtu) {
    Json device = {{"driver", "virtio-net-pci"}, {"bus", bus}, {"netdev", id}, {"mac", mac}};
    device["romfile"] = "";  // nobody boots from it
    if (mtu >= 68 && mtu <= 65535) device["host_mtu"] = mtu;
    device_add({{"netdev_del", {{"id", id}}}}, id, device);
  }

  // undo: of its backend, here and when it is unplugged.
  void device_add(const Undo& undo, const std::string& id, Json device) {
    device["id"] = "dev-" + id;
    try {
      qmp_.execute("device_add", device);
    } catch (const Error&) {
      forget(undo);
      throw;
    }
    backends_[id] = undo;
  }

  // Undo of something half done: that it may fail too is no news.
  void forget(const Undo& undo) noexcept {
    for (const auto& [command, arguments] : undo) try {
        qmp_.execute(command, arguments);
      } catch (const std::exception& e) {
        spdlog::debug("{}", e.what());
      }
  }

  MachineConfig config_;
  HelperProcess process_;
  Qmp qmp_;
  UniqueFd agent_;
  UniqueFd console_;
  std::vector<bool> ports_{std::vector<bool>(config_.hotplug_ports)};  // taken
  std::map<std::string, Undo> backends_;                               // of what is plugged, by id
  unsigned next_id_ = 0;
};

}  // namespace

std::unique_ptr<Machine> start_qemu(const MachineConfig& config, MachineStart start) {
  return with_context("starting QEMU", [&] {
    QemuFds fds;
    auto [qmp, qmp_there] = socket_pair(SOCK_STREAM);
    auto [agent, agent_there] = socket_pair(SOCK_STREAM);
    setsockopt(agent_there.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
    auto [console, console_there] = socket_pair(SOCK_STREAM);
    std::vector<std::pair<int, int>> passed = {
        {qmp_there.get(), fds.qmp}, {agent_there.get(), fds.agent}, {console_there.get(), fds.console}};
    if (start.memory) passed.emplace_back(start.memory.get(), fds.memory = 6);
    fds.saved = start.saved;
    const bool boots_on_tcg = config.accel == Accel::kTcg && !start.saved;
    const unsigned long tsc_khz = boots_on_tcg && config.tsc_khz == 0 ? TscMeter().khz() : config.tsc_khz;
    HelperProcess process(qemu_arguments(config, fds, tsc_khz), std::move(passed));
    return std::unique_ptr<Machine>(
        new Qemu(config, std::move(process), std::move(qmp), std::move(agent), std::move(console)));
  });
}

}  // namespace husk::vm
