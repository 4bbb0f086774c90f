// What people and engines write: config.json, mount options, users, husk.toml.
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "agent/guest/guest_config.h"
#include "cmd/husk/exec_process.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/linux/cgroups.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/seccomp.h"
#include "libcontainer/linux/systemd_property.h"
#include "libcontainer/linux/text.h"
#include "libcontainer/linux/user.h"
#include "spec/binary.h"
#include "spec/codec.h"
#include "spec/options.h"
#include "tests/fuzz/targets.h"

namespace husk::fuzz {
namespace {

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void round_trip(const spec::Config& config) {
  const nlohmann::json encoded = spec::encode_config(config);
  require(spec::encode_config(spec::decode_config(encoded.dump())) == encoded, "a round trip loses nothing");
  const auto copy = spec::from_binary<spec::Config>(spec::to_binary(config));
  require(spec::encode_config(copy) == encoded, "a round trip through bytes loses nothing");
}

// What husk and the guest compute of a config that was found valid.
void use(spec::Config config) {
  const std::string& asked = config.linux_ ? config.linux_->cgroups_path : "";
  for (const bool systemd : {false, true})
    allowed_to_fail([&] { require(!cgroup_path(asked, "id", systemd).empty(), "a container has a cgroup"); });
  for (const bool v2 : {false, true})
    allowed_to_fail([&] {
      unit_frame(unit_name(asked, "id"), "id", config.annotations, v2);
      if (config.linux_ && config.linux_->resources) unit_limits(*config.linux_->resources, v2);
    });
  for (const spec::Mount& mount : config.mounts) allowed_to_fail([&] { parse_mount_options(mount); });
  if (config.linux_ && config.linux_->seccomp)
    allowed_to_fail([&] {
      parse_seccomp_flags(config.linux_->seccomp->flags);
      compile_seccomp(*config.linux_->seccomp);
    });
  allowed_to_fail([&] {
    localize(config);
    const std::string cgroup = guest::guest_cgroup_path(config, "id");
    require(cgroup.starts_with('/') && cgroup != "/" && cgroup.find("/../") == std::string::npos,
            "a container's cgroup is below the root");
  });
}

}  // namespace

// The host's names are taken as they are; what would make a namespace or a tmpfs of this machine is left out.
void localize(spec::Config& config) {
  guest::NamedNamespaces namespaces;
  guest::SharedMemories memories;
  guest::Volumes volumes;
  if (config.linux_)
    std::erase_if(config.linux_->namespaces, [](const auto& n) { return n.path.starts_with("husk-ns:"); });
  std::erase_if(config.mounts, [](const auto& m) { return m.source.starts_with("husk-shm:"); });
  guest::localize_config(
      config, [](const std::string&) { return 1; }, namespaces, memories, volumes);
}

bool allowed_to_fail(const std::function<void()>& f) {
  try {
    f();
    return true;
  } catch (const Error& e) {
    require(!e.message().empty() && is_one_line(one_line(e.message())), "an error has words");
    return false;
  }
}

void config(std::string_view input) {
  spec::Config config;
  if (!allowed_to_fail([&] { config = spec::decode_config(input); })) return;
  round_trip(config);
  for (const std::string& warning : spec::config_warnings(config))
    require(is_one_line(warning), "a warning is one line");
  try {
    spec::validate_config(config);
  } catch (const Error& e) {
    require(e.kind() == ErrorKind::kInvalid && is_one_line(e.message()), "a broken rule is told in one line");
    return;
  }
  use(std::move(config));
}

void mount_options(std::string_view input) {
  std::vector<std::string_view> lines = split(input, '\n');
  spec::Mount mount;
  mount.destination = "/d";
  if (!lines.empty()) mount.type = lines[0];
  for (size_t i = 1; i < lines.size(); ++i) mount.options.emplace_back(lines[i]);
  allowed_to_fail([&] {
    const MountOptions o = parse_mount_options(mount);
    constexpr uint64_t kAtime = MOUNT_ATTR__ATIME;
    require(!(o.attr_set & o.attr_clear & ~kAtime), "no attribute is both set and cleared");
    require(!(o.rec_set & o.rec_clear & ~kAtime), "no attribute is both set and cleared, recursively");
    require(!o.idmap || o.bind, "only bind mounts are idmapped");
    size_t longest = mount.options.size();
    for (const std::string& option : mount.options) longest += option.size();
    require(o.data.size() <= longest, "what is left for the file system is what was given");
  });
}

void user(std::string_view input) {
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string asked(input.substr(0, end));
  spec::User user;
  if (allowed_to_fail([&] { cmd::set_user(user, asked); })) {
    require(asked.find_first_not_of("0123456789:") == std::string::npos,
            "a user is made of digits and a colon");
    require(std::count(asked.begin(), asked.end(), ':') <= 1, "a user has at most one colon");
  }
  const std::string_view passwd = input.substr(std::min(end + 1, input.size()));
  const std::string home = home_in(passwd, user.uid);
  require(!home.empty() && home.find('\n') == std::string::npos, "there is always a home, of one line");
}

void husk_toml(std::string_view input) {
  static const UniqueFd file(check(memfd_create("husk.toml", MFD_CLOEXEC), "memfd_create"));
  static const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  check(ftruncate(file.get(), 0), "ftruncate");
  check(pwrite(file.get(), input.data(), input.size(), 0), "pwrite");
  spec::Options options;
  if (!allowed_to_fail([&] { options = spec::load_options(path, true); })) return;
  for (const spec::OptionInfo& info : spec::option_table()) {
    const std::string value = spec::get_option(options, info.name);
    spec::set_option(options, info.name, value);
    require(spec::get_option(options, info.name) == value, "a value that was taken is taken again");
  }
}

}  // namespace husk::fuzz
