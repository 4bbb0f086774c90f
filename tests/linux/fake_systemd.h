// A systemd of a test's own: an sd-bus server on a socket, to which DBUS_SYSTEM_BUS_ADDRESS points. One
// connection after the other, on a thread.
#pragma once

#include <systemd/sd-bus.h>

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk {

class FakeSystemd {
 public:
  enum class Jobs { kDone, kFailed, kNeverEnd, kUnitExists, kHangUp };
  struct Call {
    std::string member, unit;
    std::vector<std::pair<std::string, nlohmann::json>> properties;  // arrays and structs as arrays

    nlohmann::json property(const std::string& name) const;  // null: it was not given
  };

  explicit FakeSystemd(std::string control_group = "");
  ~FakeSystemd();

  Jobs jobs = Jobs::kDone;    // set between calls only
  std::vector<Call> calls();  // of units' methods, in their order
  void hang_up();             // nobody listens any more

 private:
  void serve();
  void serve_connection(int fd);
  static int on_message(sd_bus_message* m, void* self, sd_bus_error*);
  int answer(sd_bus_message* m);
  int answer_job(sd_bus_message* m);

  std::string folder_, control_group_;
  UniqueFd listener_;
  std::mutex mutex_;
  UniqueFd connection_;  // a second fd of the one that is served
  bool stopping_ = false;
  std::vector<Call> calls_;
  std::thread thread_;
};

}  // namespace husk
