// JSON to spec::Config and back, and the rules a config has to keep. Decoding checks types ("process.args[1]:
// expected a string"), validation checks meaning. Both throw Error(kInvalid) with one line that names the
// JSON path.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "spec/config.h"
#include "spec/validate.h"

namespace husk::spec {

// Unknown members are ignored, as the spec demands ("runtimes MUST NOT generate an error").
// A null member is an absent one. Relative mount destinations come out absolute (config.md: they mean below
// "/"), and a seccomp object with neither a default action nor system calls comes out absent.
Config decode_config(std::string_view json_text);
Process decode_process(std::string_view json_text);      // exec --process
Resources decode_resources(std::string_view json_text);  // update --resources
nlohmann::json encode_config(const Config& config);
nlohmann::json encode_process(const Process& process);
nlohmann::json encode_resources(const Resources& resources);

// The OCI state (runtime.md): what `husk state` prints and hooks get on stdin.
struct State {
  std::string oci_version = kOciVersion;
  std::string id;
  std::string status;  // creating, created, running, stopped (and paused, as runc)
  pid_t pid = 0;       // 0: none (and written so, as runc does)
  std::string bundle;
  std::map<std::string, std::string> annotations;
};
nlohmann::json encode_state(const State& state);

// The config that `husk spec` writes (runc's defaults); rootless: a user namespace for uid/gid;
// cgroup_v2: of the kernel that the container gets (on v1 runc makes no cgroup namespace).
Config default_config(bool rootless, uint32_t uid = 0, uint32_t gid = 0, bool cgroup_v2 = true);

}  // namespace husk::spec
