#include "tests/linux/fake_systemd.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <cstring>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"

namespace husk {
namespace {

constexpr const char* kPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";
constexpr const char* kJob = "/org/freedesktop/systemd1/job/7";

Json read_value(sd_bus_message* m) {
  char type = 0;
  const char* contents = nullptr;
  if (sd_bus_message_peek_type(m, &type, &contents) <= 0) return nullptr;
  if (type == 's' || type == 'o') {
    const char* text = nullptr;
    sd_bus_message_read_basic(m, type, &text);
    return text;
  }
  if (type == 'a' || type == 'r' || type == 'v') {
    const std::string inner = contents;
    sd_bus_message_enter_container(m, type, inner.c_str());
    Json values = Json::array();
    while (sd_bus_message_at_end(m, 0) == 0) values.push_back(read_value(m));
    sd_bus_message_exit_container(m);
    return type == 'v' ? values.at(0) : values;
  }
  union {
    int truth;
    uint8_t y;
    uint32_t u;
    int32_t i;
    uint64_t t;
    double d;
  } v{};
  sd_bus_message_read_basic(m, type, &v);
  switch (type) {
    case 'b':
      return v.truth != 0;
    case 'y':
      return v.y;
    case 'u':
      return v.u;
    case 'i':
      return v.i;
    case 'd':
      return v.d;
    default:
      return v.t;
  }
}

}  // namespace

Json FakeSystemd::Call::property(const std::string& name) const {
  for (const auto& [known, value] : properties)
    if (known == name) return value;
  return nullptr;
}

FakeSystemd::FakeSystemd(std::string control_group) : control_group_(std::move(control_group)) {
  char name[] = "/tmp/husk-systemd-test-XXXXXX";
  if (!mkdtemp(name)) throw_errno("mkdtemp");
  folder_ = name;
  listener_ = listen_at(open_file(folder_, O_PATH | O_DIRECTORY).get(), "bus", SOCK_STREAM);
  setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + folder_ + "/bus").c_str(), 1);
  thread_ = std::thread([this] { serve(); });
}

FakeSystemd::~FakeSystemd() {
  hang_up();
  unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  remove_tree(folder_);
}

void FakeSystemd::hang_up() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    if (connection_) shutdown(connection_.get(), SHUT_RDWR);
  }
  thread_.join();
  listener_.reset();
}

std::vector<FakeSystemd::Call> FakeSystemd::calls() {
  std::lock_guard lock(mutex_);
  return calls_;
}

void FakeSystemd::serve() {
  for (;;) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    {
      std::lock_guard lock(mutex_);
      if (!fd || stopping_) return;
      connection_ = dup_fd(fd.get());
    }
    serve_connection(fd.release());
  }
}

void FakeSystemd::serve_connection(int fd) {
  sd_bus* bus = nullptr;
  sd_id128_t id;
  sd_id128_randomize(&id);
  sd_bus_new(&bus);
  sd_bus_set_fd(bus, fd, fd);  // which it owns from now on
  sd_bus_set_server(bus, 1, id);
  sd_bus_add_filter(bus, nullptr, &FakeSystemd::on_message, this);
  sd_bus_start(bus);
  int r;
  while ((r = sd_bus_process(bus, nullptr)) >= 0)
    if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0) break;
  sd_bus_close_unref(bus);
}

int FakeSystemd::on_message(sd_bus_message* m, void* self, sd_bus_error*) {
  return static_cast<FakeSystemd*>(self)->answer(m);
}

int FakeSystemd::answer(sd_bus_message* m) {
  if (sd_bus_message_is_method_call(m, nullptr, nullptr) <= 0) return 0;
  const std::string member = sd_bus_message_get_member(m);
  if (member == "Hello") return sd_bus_reply_method_return(m, "s", ":1.7");
  if (member == "Get") return sd_bus_reply_method_return(m, "v", "s", control_group_.c_str());
  if (!strstr(sd_bus_message_get_interface(m), "systemd1") || member == "Subscribe")
    return sd_bus_reply_method_return(m, "");
  Call call{member, read_value(m), {}};
  if (member == "StartTransientUnit" || member == "StopUnit" || member == "SetUnitProperties")
    read_value(m);  // mode, runtime
  if (member == "StartTransientUnit" || member == "SetUnitProperties")
    for (const Json& p : read_value(m)) call.properties.emplace_back(p.at(0), p.at(1));
  {
    std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    if (jobs == Jobs::kHangUp) shutdown(connection_.get(), SHUT_RDWR);
  }
  if (member == "StartTransientUnit" || member == "StopUnit") return answer_job(m);
  return sd_bus_reply_method_return(m, "");
}

int FakeSystemd::answer_job(sd_bus_message* m) {
  if (jobs == Jobs::kUnitExists)
    return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.UnitExists", "Unit exists.");
  int r = sd_bus_reply_method_return(m, "o", kJob);
  if (jobs == Jobs::kNeverEnd) return r;
  sd_bus_message* removed = nullptr;
  sd_bus* bus = sd_bus_message_get_bus(m);
  sd_bus_message_new_signal(bus, &removed, kPath, kManager, "JobRemoved");
  sd_bus_message_append(removed, "uoss", 7, kJob, "x", jobs == Jobs::kFailed ? "failed" : "done");
  sd_bus_message_set_sender(removed, ":1.0");  // the bus would
  sd_bus_send(bus, removed, nullptr);
  sd_bus_message_unref(removed);
  return r;
}

}  // namespace husk
