#include "vm/sandbox/guest_config.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/root.h"
#include "libcontainer/linux/namespaces.h"
#include "vm/sandbox/placement.h"
#include "vm/share/share.h"

namespace husk::vm {
namespace {

bool has_option(const spec::Mount& mount, const char* option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

bool is_bind(const spec::Mount& mount) {
  return mount.type == "bind" || has_option(mount, "bind") || has_option(mount, "rbind");
}

bool is_below(const std::string& path, const std::string& dir) {
  return path == dir || path.rfind(dir + "/", 0) == 0;
}

// Two paths or namespaces of the host that are the same one have the same name.
std::string name_of(const struct stat& st) {
  return std::to_string(st.st_dev) + "-" + std::to_string(st.st_ino);
}

// Engines make /dev/shm on the host for containers that share it; shared memory is the guest kernel's matter,
// so it gets a tmpfs of the same size there, one for all containers of the VM that name the same folder.
void make_shm(spec::Mount& mount, const std::string& source, const struct stat& st) {
  struct statvfs fs {};
  uint64_t bytes = statvfs(source.c_str(), &fs) == 0 ? static_cast<uint64_t>(fs.f_blocks) * fs.f_frsize : 0;
  // A whole host's /dev/shm is not what a container asked for: 64 MiB is every engine's default.
  if (bytes == 0 || bytes > (1ULL << 30)) bytes = 64ULL << 20;
  mount.type = "bind";
  mount.source = "husk-shm:" + name_of(st);
  mount.options = {"rbind", "nosuid", "noexec", "nodev", "size=" + std::to_string(bytes)};
}

void refuse_shared_propagation(const spec::Mount& mount) {
  for (const char* option : {"shared", "rshared"})
    if (has_option(mount, option))
      throw Error(ErrorKind::kUnsupported, "mounting " + mount.destination + ": propagation " + option +
                                               " (what is mounted in a VM cannot appear on the host)");
}

void translate_bind(spec::Mount& mount, const GuestConfigArgs& args, GuestConfig& guest) {
  std::string source =
      mount.source.rfind('/', 0) == 0 ? clean_path(mount.source) : path_join(args.bundle, mount.source);
  struct stat st {};
  if (stat(source.c_str(), &st) != 0) throw_errno("mounting " + mount.destination + ": " + source);
  if (clean_path(mount.destination) == "/dev/shm") return make_shm(mount, source, st);
  // Kernel file systems and device nodes mean the guest's kernel: the same path there.
  if (is_below(source, "/sys") || is_below(source, "/proc") || S_ISCHR(st.st_mode)) {
    mount.source = source;
    return;
  }
  if (S_ISSOCK(st.st_mode))
    guest.warnings.push_back(mount.destination + ": a socket of the host cannot be connected to from a VM");
  refuse_shared_propagation(mount);
  const ShareKind kind{has_option(mount, "ro"), has_option(mount, "slave") || has_option(mount, "rslave")};
  const std::string name = volume_name(source, kind);
  guest.shared.push_back({name, source, kind});
  mount.source = Share::guest_path(args.id, name);
}

// Rootless engines bind the node of a device, since they can make none.
void make_disks_of_binds(spec::Config& config) {
  std::erase_if(config.mounts, [&](const spec::Mount& mount) {
    struct stat st {};
    if (!is_bind(mount) || stat(mount.source.c_str(), &st) != 0 || !S_ISBLK(st.st_mode)) return false;
    config.linux_->devices.push_back({clean_path(mount.destination), "b", major(st.st_rdev),
                                      minor(st.st_rdev), st.st_mode & 07777, st.st_uid, st.st_gid});
    return true;
  });
}

// Rootless Podman's --privileged binds every device of the host's, and has no rules that would tell.
bool drop_privileged_binds(spec::Config& config) {
  const auto found = config.annotations.find("io.podman.annotations.privileged");
  if (found == config.annotations.end() || found->second != "TRUE") return false;
  std::erase_if(config.mounts, [](const spec::Mount& mount) {
    struct stat st {};
    return is_bind(mount) && mount.source == mount.destination && stat(mount.source.c_str(), &st) == 0 &&
           (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode));
  });
  return true;
}

// Podman's `-v SOURCE:DESTINATION:O` and image mounts: its folders are the host's, so the overlay is, too.
void translate_overlay(spec::Mount& mount, const GuestConfigArgs& args, const std::string& name,
                       GuestConfig& guest) {
  std::string data;
  for (const std::string& option : mount.options)
    if (option.find('=') != std::string::npos || option == "volatile" || option == "userxattr")
      data += (data.empty() ? "" : ",") + option;
  // Without an upper layer it is read-only anyway.
  guest.shared.push_back({name, data, {has_option(mount, "ro"), false}, true});
  mount.type = "bind";
  mount.source = Share::guest_path(args.id, name);
  mount.options = {"rbind", has_option(mount, "ro") ? "ro" : "rw"};
}

// The guest's hierarchies are its own. What an engine shows of the host's to a systemd inside (Podman's
// `--systemd`) becomes a writable cgroup mount, which is what it is for.
void drop_host_cgroups(spec::Config& config) {
  auto is_host_cgroup = [](const spec::Mount& m) {
    return is_bind(m) && m.source.rfind("/sys/fs/cgroup/", 0) == 0;
  };
  auto first = std::remove_if(config.mounts.begin(), config.mounts.end(), is_host_cgroup);
  if (first == config.mounts.end()) return;
  config.mounts.erase(first, config.mounts.end());
  for (spec::Mount& mount : config.mounts)
    if (mount.type == "cgroup")
      mount.options.erase(std::remove(mount.options.begin(), mount.options.end(), "ro"), mount.options.end());
}

// Without a UTS namespace a container has the host's name; the guest's kernel has another.
void keep_host_name(spec::Config& config) {
  if (config.linux_->find_namespace(spec::NamespaceType::kUts)) return;
  utsname host{};
  check(uname(&host), "uname");
  config.linux_->namespaces.push_back({spec::NamespaceType::kUts, ""});
  if (config.hostname.empty()) config.hostname = host.nodename;
}

// The guest cannot make mount points in a root file system that the host shows it read-only, so they are made
// here, as any runtime makes them: those which no earlier mount will cover.
void make_mount_points(const spec::Config& config, const std::string& rootfs) {
  Root root(rootfs);
  std::vector<std::string> covered;
  for (const spec::Mount& mount : config.mounts) {
    std::string destination = clean_path(mount.destination);
    bool below = std::any_of(covered.begin(), covered.end(),
                             [&](const std::string& dir) { return is_below(destination, dir); });
    covered.push_back(destination);
    if (below || root.exists(destination)) continue;
    struct stat st {};
    if (is_bind(mount) && stat(mount.source.c_str(), &st) == 0 && !S_ISDIR(st.st_mode))
      root.make_file(destination);
    else
      root.make_dirs(destination);
  }
}

// Namespaces by path are the host's. One of another container's shim becomes the agent's name for that
// container's; any other one is named by its inode: who names the same one shares the guest's.
std::string guest_namespace(const spec::Namespace& ns, const GuestConfigArgs& args) {
  using spec::NamespaceType;
  bool network = ns.type == NamespaceType::kNetwork;
  const std::string& path = network ? args.netns : ns.path;
  if (path.empty() || ns.type == NamespaceType::kCgroup || ns.type == NamespaceType::kTime) return "";
  pid_t pid = network ? 0 : pid_of_namespace_path(path);
  std::string owner = pid ? args.container_of(pid) : "";
  if (!owner.empty()) return "husk:" + owner;
  bool nameable = network || ns.type == NamespaceType::kIpc || ns.type == NamespaceType::kUts;
  if (pid || !nameable)
    throw Error(ErrorKind::kInvalid, std::string("joining the ") + namespace_file(ns.type) + " namespace " +
                                         printable(path) + ": it is not that of a running husk container");
  struct stat st {};
  check(stat(path.c_str(), &st), "namespace " + printable(path));
  return "husk-ns:" + name_of(st);
}

}  // namespace

GuestConfig make_guest_config(const spec::Config& host, const GuestConfigArgs& args) {
  GuestConfig guest;
  spec::Config& config = guest.config = host;
  // The root of a user namespace is nobody to virtiofsd: it may not be allowed to make them, either.
  const bool mapped = host.linux_ && host.linux_->find_namespace(spec::NamespaceType::kUser);
  if (host.root->readonly || mapped) make_mount_points(host, args.rootfs);
  guest.shared.push_back({"rootfs", args.rootfs, {host.root->readonly, false}});
  config.root->path = Share::guest_path(args.id, "rootfs");
  drop_host_cgroups(config);
  const bool privileged = drop_privileged_binds(config);
  if (config.linux_) make_disks_of_binds(config);
  for (size_t i = 0; i < config.mounts.size(); ++i) {
    spec::Mount& mount = config.mounts[i];
    if (is_bind(mount))
      translate_bind(mount, args, guest);
    else if (mount.type == "overlay")
      translate_overlay(mount, args, "mount" + std::to_string(i), guest);
  }
  config.hooks = {};
  config.hooks.start_container = host.hooks.start_container;
  config.process->apparmor_profile.clear();
  config.process->selinux_label.clear();
  if (config.linux_) {
    config.linux_->mount_label.clear();
    config.linux_->intel_rdt.reset();
    keep_host_name(config);
    if (config.linux_->resources) config.linux_->resources = guest_resources(*config.linux_->resources);
    for (spec::Namespace& ns : config.linux_->namespaces) ns.path = guest_namespace(ns, args);
    guest.devices = translate_devices(config);
    guest.devices.all = guest.devices.all || privileged;
  }
  return guest;
}

}  // namespace husk::vm
