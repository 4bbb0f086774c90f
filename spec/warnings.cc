// What is accepted, because engines write it and runc accepts it, but has no effect.
#include "spec/check.h"
#include "spec/validate.h"

namespace husk::spec {
namespace {

void capability_warnings(const Capabilities& capabilities, const std::string& where,
                         std::vector<std::string>& out) {
  const std::pair<const char*, const std::vector<std::string>*> sets[] = {
      {"bounding", &capabilities.bounding},       {"effective", &capabilities.effective},
      {"inheritable", &capabilities.inheritable}, {"permitted", &capabilities.permitted},
      {"ambient", &capabilities.ambient},
  };
  for (const auto& [set, names] : sets)
    for (const std::string& name : *names)
      if (!known(kCapabilities, name))
        out.push_back(where + "." + set + ": unknown capability " + quoted(name) + " ignored");
}

// "1.3.0" is newer than the 1.2 that husk knows.
bool is_newer(std::string_view version) {
  const size_t first = version.find('.');
  const size_t second = version.find('.', first + 1);
  if (first == version.npos || second == version.npos) return false;
  const std::string_view minor = version.substr(first + 1, second - first - 1);
  return minor.size() > 1 || minor > "2";
}

}  // namespace

std::vector<std::string> process_warnings(const Process& process, const std::string& where) {
  std::vector<std::string> out;
  if (process.capabilities) capability_warnings(*process.capabilities, where + ".capabilities", out);
  if (!process.apparmor_profile.empty()) out.push_back(where + ".apparmorProfile: not supported, ignored");
  if (!process.selinux_label.empty()) out.push_back(where + ".selinuxLabel: not supported, ignored");
  return out;
}

std::vector<std::string> resources_warnings(const Resources& resources, const std::string& where) {
  std::vector<std::string> out;
  if (!resources.memory) return out;
  if (resources.memory->kernel)
    out.push_back(where + ".memory.kernel: no longer supported by Linux, ignored");
  if (resources.memory->use_hierarchy) out.push_back(where + ".memory.useHierarchy: always on, ignored");
  return out;
}

std::vector<std::string> config_warnings(const Config& config) {
  std::vector<std::string> out;
  if (is_newer(config.oci_version))
    out.push_back("ociVersion: " + quoted(config.oci_version) + " is newer than " + kOciVersion +
                  "; what it added is ignored");
  if (config.process) {
    for (std::string& line : process_warnings(*config.process)) out.push_back(std::move(line));
  }
  if (!config.linux_) return out;
  const Linux& linux_ = *config.linux_;
  if (!linux_.mount_label.empty()) out.push_back("linux.mountLabel: not supported, ignored");
  if (linux_.intel_rdt) out.push_back("linux.intelRdt: not supported, ignored");
  const Namespace* user = linux_.find_namespace(NamespaceType::kUser);
  if (user && !user->path.empty() && !linux_.uid_mappings.empty())
    out.push_back("linux.uidMappings: the user namespace that is joined has its own, ignored");
  if (linux_.resources)
    for (std::string& line : resources_warnings(*linux_.resources, "linux.resources"))
      out.push_back(std::move(line));
  return out;
}

}  // namespace husk::spec
