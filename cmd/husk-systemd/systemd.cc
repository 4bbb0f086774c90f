#include "cmd/husk-systemd/systemd.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "libcontainer/base/rootless.h"

namespace husk::systemd {
namespace {

constexpr const char* kName = "org.freedesktop.systemd1";
constexpr const char* kPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";

void check_bus(int result, const char* what) {
  if (result < 0) throw_errno(what, -result);
}

[[noreturn]] void not_running(const std::string& where, int errnum) {
  throw Error(ErrorKind::kUnsupported, "systemd is not running here: " + where + ": " + strerror(errnum),
              errnum);
}

struct Address {
  std::string text;
  bool bus;  // a bus in between, not systemd itself
};

// A user's stays his own where he is the root of a user namespace, as in a shell of `podman unshare`.
Address manager_address() {
  const bool user = is_rootless();
  const char* given = getenv(user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
  if (given && *given) return {given, true};
  const char* runtime = user ? getenv("XDG_RUNTIME_DIR") : "/run";
  if (!runtime || !*runtime)
    throw Error(ErrorKind::kUnsupported, "the user's systemd cannot be found: XDG_RUNTIME_DIR is not set");
  const std::string folder = runtime, direct = folder + "/systemd/private";
  if (access(direct.c_str(), F_OK) == 0) return {"unix:path=" + direct, false};
  return {"unix:path=" + folder + (user ? "/bus" : "/dbus/system_bus_socket"), true};
}

ErrorKind kind_of(const sd_bus_error& error, int errnum) {
  static constexpr struct {
    const char* name;
    ErrorKind kind;
  } kKinds[] = {{"org.freedesktop.systemd1.UnitExists", ErrorKind::kExists},
                {"org.freedesktop.systemd1.NoSuchUnit", ErrorKind::kNotFound},
                {"org.freedesktop.systemd1.BadUnitSetting", ErrorKind::kInvalid},
                {SD_BUS_ERROR_ACCESS_DENIED, ErrorKind::kPermission},
                {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, ErrorKind::kPermission},
                {SD_BUS_ERROR_INVALID_ARGS, ErrorKind::kInvalid},
                {SD_BUS_ERROR_PROPERTY_READ_ONLY, ErrorKind::kInvalid},
                {SD_BUS_ERROR_UNKNOWN_PROPERTY, ErrorKind::kInvalid},
                {SD_BUS_ERROR_NO_REPLY, ErrorKind::kTimeout},
                {SD_BUS_ERROR_TIMEOUT, ErrorKind::kTimeout},
                {SD_BUS_ERROR_SERVICE_UNKNOWN, ErrorKind::kUnsupported},
                {SD_BUS_ERROR_NAME_HAS_NO_OWNER, ErrorKind::kUnsupported}};
  for (const auto& known : kKinds)
    if (sd_bus_error_has_name(&error, known.name)) return known.kind;
  return errnum == ETIMEDOUT ? ErrorKind::kTimeout : ErrorKind::kInternal;
}

}  // namespace

Manager::Manager(std::chrono::milliseconds timeout) : deadline_(std::chrono::steady_clock::now() + timeout) {
  const Address address = manager_address();
  sd_bus* bus = nullptr;
  check_bus(sd_bus_new(&bus), "sd_bus_new");
  bus_.reset(bus);
  check_bus(sd_bus_set_address(bus, address.text.c_str()), "sd_bus_set_address");
  check_bus(sd_bus_set_bus_client(bus, address.bus), "sd_bus_set_bus_client");
  check_bus(sd_bus_set_method_call_timeout(bus, left_usec()), "sd_bus_set_method_call_timeout");
  if (int r = sd_bus_start(bus); r < 0) not_running(address.text, -r);
}

uint64_t Manager::left_usec() const {
  const auto left =
      std::chrono::ceil<std::chrono::microseconds>(deadline_ - std::chrono::steady_clock::now());
  return left.count() > 0 ? static_cast<uint64_t>(left.count()) : 1;  // to sd-bus 0 is its own default
}

BusMessage Manager::method(const char* name) const {
  sd_bus_message* message = nullptr;
  check_bus(sd_bus_message_new_method_call(bus_.get(), &message, kName, kPath, kManager, name), name);
  return BusMessage(message);
}

BusMessage Manager::call(BusMessage message) {
  const std::string what = sd_bus_message_get_member(message.get());
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message* reply = nullptr;
  const int r = sd_bus_call(bus_.get(), message.get(), left_usec(), &error, &reply);
  if (r >= 0) return BusMessage(reply);
  const ErrorKind kind = kind_of(error, -r);
  const std::string text = what + ": " + printable(error.message ? error.message : strerror(-r), 400);
  sd_bus_error_free(&error);
  throw Error(kind, kind == ErrorKind::kUnsupported ? "systemd is not running here: " + text : text, -r);
}

std::string Manager::call_for_job(BusMessage message) {
  const BusMessage reply = call(std::move(message));
  const char* job = nullptr;
  check_bus(sd_bus_message_read(reply.get(), "o", &job), "reading systemd's job");
  return job;
}

// Before the job is asked for, so that its end cannot be missed.
void Manager::watch_jobs() {
  auto on_removed = [](sd_bus_message* m, void* self, sd_bus_error*) {
    uint32_t id = 0;
    const char *job = nullptr, *unit = nullptr, *result = nullptr;
    if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) >= 0)
      static_cast<Manager*>(self)->ended_[job] = result;
    return 0;
  };
  // On a bus anybody may send such a signal.
  const char* sender = sd_bus_is_bus_client(bus_.get()) > 0 ? kName : nullptr;
  sd_bus_slot* slot = nullptr;
  const int r =
      sd_bus_match_signal(bus_.get(), &slot, sender, kPath, kManager, "JobRemoved", on_removed, this);
  if (r < 0) throw_errno("asking the bus for systemd's signals", -r);
  jobs_.reset(slot);
  call(method("Subscribe"));
}

void Manager::wait(const std::string& job) {
  for (;;) {
    if (auto found = ended_.find(job); found != ended_.end()) {
      if (found->second == "done") return;
      throw Error(ErrorKind::kInternal, "systemd's job ended as \"" + printable(found->second, 40) + "\"");
    }
    const int r = sd_bus_process(bus_.get(), nullptr);
    if (r < 0) throw_errno("waiting for systemd's job", -r);
    if (r > 0) continue;
    if (std::chrono::steady_clock::now() >= deadline_)
      throw Error(ErrorKind::kTimeout, "systemd's job did not end in time", ETIMEDOUT);
    const int waited = sd_bus_wait(bus_.get(), left_usec());
    if (waited < 0 && waited != -EINTR) throw_errno("waiting for systemd's job", -waited);
  }
}

namespace {

void append_properties(sd_bus_message* m, const std::vector<UnitProperty>& properties) {
  check_bus(sd_bus_message_open_container(m, 'a', "(sv)"), "a property");
  for (const UnitProperty& p : properties) append(m, "(sv)", {p.name, {p.signature, p.value}});
  check_bus(sd_bus_message_close_container(m), "a property");
}

}  // namespace

std::string Manager::start_transient(const SystemdRequest& request) {
  BusMessage m = method("StartTransientUnit");
  check_bus(sd_bus_message_append(m.get(), "ss", request.unit.c_str(), "fail"), "the unit's name");
  std::vector<UnitProperty> properties = request.properties;
  if (request.hold) properties.push_back({"PIDs", "au", Json::array({getpid()})});
  append_properties(m.get(), properties);
  check_bus(sd_bus_message_append(m.get(), "a(sa(sv))", 0), "no other units");
  return call_for_job(std::move(m));
}

std::string Manager::start(const SystemdRequest& request) {
  watch_jobs();
  std::string job;
  try {
    job = start_transient(request);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kExists) throw;
    // One that failed keeps its name until it is reset; of one that lives this changes nothing.
    reset_failed(request.unit);
    job = start_transient(request);
  }
  wait(job);
  return control_group(request.unit);
}

void Manager::set(const SystemdRequest& request) {
  BusMessage m = method("SetUnitProperties");
  // Runtime: gone with the unit.
  check_bus(sd_bus_message_append(m.get(), "sb", request.unit.c_str(), 1), "the unit's name");
  append_properties(m.get(), request.properties);
  call(std::move(m));
}

void Manager::stop(const SystemdRequest& request) {
  watch_jobs();
  BusMessage m = method("StopUnit");
  check_bus(sd_bus_message_append(m.get(), "ss", request.unit.c_str(), "replace"), "the unit's name");
  try {
    wait(call_for_job(std::move(m)));
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kNotFound) throw;
  }
  reset_failed(request.unit);
}

void Manager::reset_failed(const std::string& unit) {
  BusMessage m = method("ResetFailedUnit");
  check_bus(sd_bus_message_append(m.get(), "s", unit.c_str()), "the unit's name");
  try {
    call(std::move(m));
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kNotFound) throw;
  }
}

std::string Manager::control_group(const std::string& unit) {
  char* encoded = nullptr;
  check_bus(sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.c_str(), &encoded), "the unit's path");
  const std::unique_ptr<char, Unreffer<free>> path(encoded);
  const char* interface =
      unit.ends_with(".slice") ? "org.freedesktop.systemd1.Slice" : "org.freedesktop.systemd1.Scope";
  sd_bus_message* raw = nullptr;
  check_bus(sd_bus_message_new_method_call(bus_.get(), &raw, kName, path.get(),
                                           "org.freedesktop.DBus.Properties", "Get"),
            "asking for the unit's cgroup");
  BusMessage m(raw);
  check_bus(sd_bus_message_append(m.get(), "ss", interface, "ControlGroup"), "asking for the unit's cgroup");
  const BusMessage reply = call(std::move(m));
  const char* group = nullptr;
  check_bus(sd_bus_message_read(reply.get(), "v", "s", &group), "reading the unit's cgroup");
  return group;
}

}  // namespace husk::systemd
