// The OCI "features" object (runtime-spec, features.md, features-linux.md): what husk does, and nothing that
// it doesn't.
#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "cmd/husk/version.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/seccomp.h"
#include "spec/names.h"
#include "spec/options.h"

namespace husk::cmd {
namespace {

using Json = nlohmann::ordered_json;

template <size_t N>
Json names(const spec::Name (&list)[N]) {
  Json out = Json::array();
  for (spec::Name name : list) out.push_back(name);
  return out;
}

// Those of the spec's that the library can make filters for.
Json seccomp_archs() {
  Json out = Json::array();
  for (spec::Name name : spec::kSeccompArchs)
    if (knows_seccomp_architecture(std::string(name))) out.push_back(name);
  return out;
}

Json linux_features() {
  Json out;
  out["namespaces"] = names(spec::kNamespaceTypes);
  out["capabilities"] = names(spec::kCapabilities);
  // The guest's kernel has only v2; the host's cgroup of the VM may be either.
  out["cgroup"] = {{"v1", true}, {"v2", true}, {"systemd", true}, {"systemdUser", true}, {"rdma", true}};
  out["seccomp"] = {{"enabled", true},
                    {"actions", names(spec::kSeccompActions)},
                    {"operators", names(spec::kSeccompOps)},
                    {"archs", seccomp_archs()},
                    {"knownFlags", names(spec::kSeccompFlags)},
                    {"supportedFlags", names(spec::kSeccompFlags)}};
  out["apparmor"] = {{"enabled", false}};
  out["selinux"] = {{"enabled", false}};
  out["intelRdt"] = {{"enabled", false}};
  out["mountExtensions"] = {{"idmap", {{"enabled", true}}}};
  return out;
}

std::string option_names() {
  std::string out;
  for (const spec::OptionInfo& option : spec::option_table()) {
    if (!out.empty()) out += ',';
    out += option.name;
  }
  return out;
}

}  // namespace

int features(Context&, const Args& args) {
  check_words("features", Flags("husk features", "Print what husk supports as JSON.").parse(args), 0, 0);
  Json out;
  out["ociVersionMin"] = "1.0.0";
  out["ociVersionMax"] = spec::kOciVersion;
  out["hooks"] = {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
  out["mountOptions"] = mount_option_names();
  out["linux"] = linux_features();
  out["annotations"] = {{"husk.version", HUSK_VERSION},
                        {"husk.commit", HUSK_COMMIT},
                        {"husk.options", option_names()},
                        {"husk.checkpoint.enabled", "false"}};
  // Properties of the container's unit; which VM a container is in, and how large that is.
  out["potentiallyUnsafeConfigAnnotations"] = {"org.systemd.property.", "io.kubernetes.cri.",
                                               "io.kubernetes.cri-o."};
  print(json_text(out, 4) + "\n");
  return 0;
}

}  // namespace husk::cmd
