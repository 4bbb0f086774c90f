// The rules a config has to keep whatever runs the container (runtime-spec 1.2). Each function throws
// Error(kInvalid) with one line that names the JSON path: `process.cwd: must be an absolute path, got "x"`.
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk::spec {

// Version, process, root, paths, namespaces, rlimits, cgroup values, seccomp names …
void validate_config(const Config& config);
void validate_process(const Process& process, const std::string& where = "process");
void validate_resources(const Resources& resources, const std::string& where = "resources");

// What is accepted but will not do what it says: unknown capabilities, AppArmor, SELinux … One line each, for
// the log.
std::vector<std::string> config_warnings(const Config& config);
std::vector<std::string> process_warnings(const Process& process, const std::string& where = "process");
std::vector<std::string> resources_warnings(const Resources& resources, const std::string& where);

}  // namespace husk::spec
