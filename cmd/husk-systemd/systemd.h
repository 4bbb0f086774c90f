// systemd's manager, as far as a container's unit needs it (org.freedesktop.systemd1(5)), over sd-bus.
#pragma once

#include <systemd/sd-bus.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "libcontainer/linux/systemd_request.h"

namespace husk::systemd {

template <auto Unref>
struct Unreffer {
  template <typename T>
  void operator()(T* object) const {
    Unref(object);
  }
};
using Bus = std::unique_ptr<sd_bus, Unreffer<sd_bus_close_unref>>;
using BusMessage = std::unique_ptr<sd_bus_message, Unreffer<sd_bus_message_unref>>;
using BusSlot = std::unique_ptr<sd_bus_slot, Unreffer<sd_bus_slot_unref>>;

// Appends `value` as the one complete type `signature`. Throws kInvalid where they don't fit.
void append(sd_bus_message* message, const std::string& signature, const Json& value);

class Manager {
 public:
  // The host's, or the user's own (is_rootless()): over the bus that the environment names, else directly
  // (/run/systemd/private, in XDG_RUNTIME_DIR for a user), else over the bus at its usual place. timeout: for
  // all that this object does. Throws kUnsupported where nobody listens.
  explicit Manager(std::chrono::milliseconds timeout);

  // Each waits for the end of systemd's job. Throws kExists, kInvalid, kPermission, kTimeout, or kInternal
  // with what systemd says.
  std::string start(const SystemdRequest& request);  // returns the unit's cgroup, "/system.slice/x.scope"
  void set(const SystemdRequest& request);
  void stop(const SystemdRequest& request);  // quiet where there is no such unit

 private:
  BusMessage method(const char* name) const;
  BusMessage call(BusMessage message);
  std::string call_for_job(BusMessage message);
  std::string start_transient(const SystemdRequest& request);
  void reset_failed(const std::string& unit);
  void watch_jobs();
  void wait(const std::string& job);
  std::string control_group(const std::string& unit);
  uint64_t left_usec() const;

  std::chrono::steady_clock::time_point deadline_;
  Bus bus_;
  BusSlot jobs_;
  std::map<std::string, std::string> ended_;  // job → its result
};

}  // namespace husk::systemd
