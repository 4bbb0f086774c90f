#include "agent/guest/parking.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <mutex>
#include <vector>

#include "agent/guest/log.h"
#include "agent/guest/pci.h"
#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

constexpr const char* kDevices = "/sys/bus/virtio/devices";
constexpr const char* kDrivers = "/sys/bus/virtio/drivers";

using Header = std::array<uint8_t, PCI_STD_HEADER_SIZEOF>;  // of a configuration space

struct Parked {
  std::string driver, virtio;  // "virtiofs", "virtio3"
  std::filesystem::path pci;   // /sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0
  Header header{};

  std::string port() const { return pci.parent_path().filename(); }
};

std::mutex mutex;
std::vector<Parked> all;

std::string device_of(const std::string& driver) {
  std::error_code error;  // no such driver yet: none
  for (const auto& entry : std::filesystem::directory_iterator(path_join(kDrivers, driver), error))
    if (std::string name = entry.path().filename(); name.starts_with("virtio")) return name;
  return "";
}

void tell_driver(const Parked& device, const std::string& what) {
  write_file(path_join(path_join(kDrivers, device.driver), what), device.virtio);
}

Header read_header(const UniqueFd& config) {
  Header header{};
  if (pread(config.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size()))
    throw_errno("reading PCI configuration space");
  return header;
}

void restore(const UniqueFd& config, const Header& header, off_t begin, off_t end) {
  if (pwrite(config.get(), header.data() + begin, static_cast<size_t>(end - begin), begin) != end - begin)
    throw_errno("writing PCI configuration space");
}

// A device that was just put there has no addresses, and is deaf.
void use(const Parked& device) {
  const UniqueFd config = open_file(device.pci / "config", O_RDWR);
  const Header now = read_header(config);
  if (!std::equal(now.begin(), now.begin() + PCI_COMMAND, device.header.begin()))
    throw Error(ErrorKind::kNotFound, "another one is there");
  restore(config, device.header, PCI_BASE_ADDRESS_0, PCI_CARDBUS_CIS);
  restore(config, device.header, PCI_COMMAND, PCI_STATUS);
  tell_driver(device, "bind");
}

bool unpark(const std::function<bool(const Parked&)>& wanted) {
  std::lock_guard lock(mutex);
  const auto found = std::find_if(all.begin(), all.end(), wanted);
  if (found == all.end()) return false;
  const Parked device = std::move(*found);
  all.erase(found);
  try {
    set_power(device.port(), true);
    use(device);
    return true;
  } catch (const Error& e) {
    log_warning("the parked device in port " + device.port() + ": " + e.what());
    // The kernel only looks for what it does not know.
    if (std::error_code error; std::filesystem::exists(device.pci, error))
      write_file(device.pci / "remove", "1");
    return false;
  }
}

}  // namespace

void park(const std::string& driver) {
  Parked device{driver, {}, {}, {}};
  wait_for_device("a device for " + driver, [&] { return !(device.virtio = device_of(driver)).empty(); });
  device.pci = std::filesystem::canonical(path_join(kDevices, device.virtio)).parent_path();
  tell_driver(device, "unbind");
  device.header = read_header(open_file(device.pci / "config", O_RDONLY));
  set_power(device.port(), false);
  all.push_back(std::move(device));
}

bool unpark_of(const std::string& driver) {
  return unpark([&](const Parked& device) { return device.driver == driver; });
}

bool unpark_in(const std::string& port) {
  return unpark([&](const Parked& device) { return device.port() == port; });
}

}  // namespace husk::guest
