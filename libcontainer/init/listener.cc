#include "libcontainer/init/listener.h"

#include "libcontainer/base/message.h"
#include "libcontainer/linux/seccomp.h"
#include "spec/codec.h"

namespace husk {
namespace {

std::string process_state(const InitRequest& r) {
  const bool exec = r.init_pid > 0;
  spec::State state;
  state.oci_version = r.config.oci_version;
  state.id = r.id;
  state.status = exec ? "running" : "creating";
  state.pid = exec ? r.init_pid : r.pid;
  state.bundle = r.bundle;
  state.annotations = r.config.annotations;
  const Json body = {{"ociVersion", spec::kOciVersion},
                     {"fds", {"seccompFd"}},
                     {"pid", r.pid},
                     {"metadata", r.linux_().seccomp->listener_metadata},
                     {"state", spec::encode_state(state)}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void connect_listener(InitRequest& r) {
  const auto& seccomp = r.linux_().seccomp;
  if (!seccomp || !uses_listener(*seccomp) || r.host_cgroup.empty()) return;
  r.listener = connect_stream(seccomp->listener_path, "failed to connect with seccomp agent");
}

void hand_over(InitRequest& r, UniqueFd listener) {
  send_with_fds(r.listener.get(), r.listener_state, {listener.get()}, "sending the seccomp listener");
  listener.reset();
  r.listener.reset();
}

void prepare_listener(InitRequest& r) {
  if (r.listener) r.listener_state = process_state(r);
}

}  // namespace husk
