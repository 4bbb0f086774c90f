#include "agent/guest/parking.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>
#include <optional>
#include <vector>

#include "agent/guest/log.h"
#include "agent/guest/pci.h"
#include "agent/guest/uevents.h"
#include "agent/guest/virtio_pci.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

constexpr const char* kDevices = "/sys/bus/virtio/devices";
constexpr const char* kDrivers = "/sys/bus/virtio/drivers";

using Header = std::array<uint8_t, PCI_STD_HEADER_SIZEOF>;  // of a configuration space

// All is open that it takes to use the device.
struct Parked {
  std::string driver, port;  // "virtiofs", "0000:00:04.0"
  Slot slot;
  std::string virtio;  // what the driver calls it: "virtio3"
  UniqueFd config, bind, remove;
  Header header{};
  std::optional<VirtioPci> kept;  // its driver does not know that it went
};

std::mutex mutex;
std::vector<Parked> all;

std::string device_of(const std::string& driver) {
  for (std::string& name : list_entries(path_join(kDrivers, driver)))
    if (name.starts_with("virtio")) return std::move(name);
  return "";
}

Header read_header(const UniqueFd& config) {
  Header header{};
  if (pread(config.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size()))
    throw_errno("reading PCI configuration space");
  return header;
}

void restore(const Parked& device, off_t begin, off_t end) {
  if (pwrite(device.config.get(), device.header.data() + begin, static_cast<size_t>(end - begin), begin) !=
      end - begin)
    throw_errno("writing PCI configuration space");
}

// A device that was just put there has no addresses, and is deaf.
void use(const Parked& device) {
  device.slot.set_power(true);
  const Header now = read_header(device.config);
  if (!std::equal(now.begin(), now.begin() + PCI_COMMAND, device.header.begin()))
    throw Error(ErrorKind::kNotFound, "another one is there");
  restore(device, PCI_BASE_ADDRESS_0, PCI_CARDBUS_CIS);
  restore(device, PCI_COMMAND, PCI_STATUS);
  if (device.kept) return device.kept->restore();
  write_all(device.bind.get(), device.virtio, "binding " + device.virtio + " to " + device.driver);
}

template <typename F>
std::string unpark(F&& wanted) {
  std::lock_guard lock(mutex);
  const auto found = std::find_if(all.begin(), all.end(), wanted);
  if (found == all.end()) return "";
  const Parked device = std::move(*found);
  all.erase(found);
  try {
    use(device);
    return device.virtio;
  } catch (const Error& e) {
    const std::string what = "the parked device in port " + device.port + ": " + e.message();
    // A driver that lets go of a device waits for its answer, and here is none.
    if (device.kept) throw Error(e.kind(), what, e.errnum());
    log_warning(what);
    // The kernel only looks for what it does not know.
    (void)!write(device.remove.get(), "1", 1);
    return "";
  }
}

}  // namespace

void park(const std::string& driver, bool keep_driver) {
  std::string virtio;
  wait_for_device("a device for " + driver, [&] { return !(virtio = device_of(driver)).empty(); });
  // …/0000:00:04.0/0000:01:00.0/virtio3
  const std::filesystem::path pci = std::filesystem::canonical(path_join(kDevices, virtio)).parent_path();
  const std::string port = pci.parent_path().filename(), folder = path_join(kDrivers, driver);
  Parked device{driver,
                port,
                Slot(port),
                virtio,
                open_file(pci / "config", O_RDWR),
                open_file(path_join(folder, "bind"), O_WRONLY),
                open_file(pci / "remove", O_WRONLY),
                {},
                {}};
  if (keep_driver) {
    try {
      device.kept.emplace(pci);
    } catch (const Error& e) {
      log_debug(virtio + " has to leave its driver: " + e.what());  // Debian's kernel lets nobody in
    }
  }
  if (!device.kept) write_file(path_join(folder, "unbind"), virtio);
  device.header = read_header(device.config);
  device.slot.set_power(false);
  all.push_back(std::move(device));
}

std::string unpark_of(const std::string& driver) {
  return unpark([&](const Parked& device) { return device.driver == driver; });
}

std::string unpark_in(const std::string& port) {
  return unpark([&](const Parked& device) { return device.port == port; });
}

}  // namespace husk::guest
