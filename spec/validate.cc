// What every platform has: version, root, mounts, hooks. The rest is in validate_*.cc.
#include "spec/validate.h"

#include <algorithm>
#include <cctype>

#include "spec/check.h"

namespace husk::spec {
namespace {

bool digits(std::string_view text) {
  return !text.empty() && text.size() < 10 && (text.size() == 1 || text[0] != '0') &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return isdigit(c); });
}

// The dot-separated identifiers behind '-' and '+'.
bool identifiers(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.find("..") != text.npos) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return isalnum(c) || c == '-' || c == '.'; });
}

// https://semver.org: MAJOR.MINOR.PATCH[-pre-release][+build]. Returns the major version's text, empty if
// malformed.
std::string_view semver_major(std::string_view text) {
  if (const size_t plus = text.find('+'); plus != text.npos) {
    if (!identifiers(text.substr(plus + 1))) return {};
    text = text.substr(0, plus);
  }
  if (const size_t dash = text.find('-'); dash != text.npos) {
    if (!identifiers(text.substr(dash + 1))) return {};
    text = text.substr(0, dash);
  }
  const size_t first = text.find('.');
  const size_t second = first == text.npos ? text.npos : text.find('.', first + 1);
  if (second == text.npos) return {};
  const bool good = digits(text.substr(0, first)) && digits(text.substr(first + 1, second - first - 1)) &&
                    digits(text.substr(second + 1));
  return good ? text.substr(0, first) : std::string_view();
}

void check_version(const std::string& version) {
  if (version.empty()) fail("ociVersion", "missing");
  const std::string_view major = semver_major(version);
  if (major.empty()) fail("ociVersion", "expected a version like \"1.2.0\", got " + quoted(version));
  if (major != "1") fail("ociVersion", "only version 1 is supported, got " + quoted(version));
}

bool has_option(const Mount& mount, std::string_view name) {
  return std::find(mount.options.begin(), mount.options.end(), name) != mount.options.end();
}

void check_idmap(const Mount& mount, const std::string& where, bool bind) {
  if (mount.uid_mappings.empty() != mount.gid_mappings.empty())
    fail(where, "uidMappings and gidMappings must be given together");
  check_mappings(where + ".uidMappings", mount.uid_mappings);
  check_mappings(where + ".gidMappings", mount.gid_mappings);
  if (bind) return;
  if (!mount.uid_mappings.empty()) fail(where + ".uidMappings", "only a bind mount can be idmapped");
  for (const char* name : {"idmap", "ridmap"})
    if (has_option(mount, name)) fail(where + ".options", quoted(name) + " is only for bind mounts");
}

void check_mounts(const Config& config) {
  for (size_t i = 0; i < config.mounts.size(); ++i) {
    const Mount& mount = config.mounts[i];
    const std::string where = item("mounts", i);
    check_absolute(where + ".destination", mount.destination);
    const bool bind = mount.type == "bind" || has_option(mount, "bind") || has_option(mount, "rbind");
    if (bind && mount.source.empty()) fail(where + ".source", "missing, but a bind mount needs it");
    if (!bind && mount.type.empty()) fail(where + ".type", "missing; only a bind mount may have none");
    if (mount.type != "tmpfs" && has_option(mount, "tmpcopyup"))
      fail(where + ".options", "\"tmpcopyup\" is only for mounts of type \"tmpfs\"");
    check_idmap(mount, where, bind);
  }
}

// The spec gives a key no meaning when it is empty.
void check_annotations(const std::map<std::string, std::string>& annotations) {
  if (annotations.contains("")) fail("annotations", "a name must not be empty");
}

void check_hooks(const Hooks& hooks) {
  const std::pair<const char*, const std::vector<Hook>*> lists[] = {
      {"prestart", &hooks.prestart},
      {"createRuntime", &hooks.create_runtime},
      {"createContainer", &hooks.create_container},
      {"startContainer", &hooks.start_container},
      {"poststart", &hooks.poststart},
      {"poststop", &hooks.poststop},
  };
  for (const auto& [name, list] : lists) {
    for (size_t i = 0; i < list->size(); ++i) {
      const Hook& hook = (*list)[i];
      const std::string where = item(std::string("hooks.") + name, i);
      check_absolute(where + ".path", hook.path);
      check_env(where + ".env", hook.env);
      if (hook.timeout && *hook.timeout <= 0)
        fail(where + ".timeout", "must be greater than zero, got " + std::to_string(*hook.timeout));
    }
  }
}

}  // namespace

void validate_config(const Config& config) {
  check_version(config.oci_version);
  if (!config.process) fail("process", "missing");
  validate_process(*config.process);
  if (!config.root) fail("root", "missing");
  if (config.root->path.empty()) fail("root.path", "missing");
  check_mounts(config);
  check_hooks(config.hooks);
  check_annotations(config.annotations);
  validate_linux(config);
}

}  // namespace husk::spec
