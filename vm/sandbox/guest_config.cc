#include "vm/sandbox/guest_config.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/root.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/linux/namespaces.h"
#include "vm/net/user_network.h"
#include "vm/sandbox/host_socket.h"
#include "vm/sandbox/limits.h"
#include "vm/sandbox/placement.h"
#include "vm/sandbox/resolv_conf.h"
#include "vm/share/share.h"

namespace husk::vm {
namespace {

bool has_option(const spec::Mount& mount, const char* option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

bool is_bind(const spec::Mount& mount) {
  return mount.type == "bind" || has_option(mount, "bind") || has_option(mount, "rbind");
}

// The last one counts.
bool is_readonly(const spec::Mount& mount) {
  bool readonly = false;
  for (const std::string& option : mount.options) {
    if (option == "ro" || option == "rro") readonly = true;
    if (option == "rw" || option == "rrw") readonly = false;
  }
  return readonly;
}

bool is_below(const std::string& path, const std::string& dir) {
  return path == dir || path.rfind(dir + "/", 0) == 0;
}

// A container's own, which engines make and change as they need.
bool is_engines_file(const std::string& destination) {
  for (const char* file : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv"})
    if (destination == file) return true;
  return false;
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

// Else it is seen as a file.
bool carries_socket(const spec::Mount& mount, const std::string& source, GuestConfig& guest) {
  if (!takes_datagrams(open_file(source, O_PATH).get())) return true;
  guest.warnings.push_back(mount.destination + ": a datagram socket of the host cannot be reached from a VM");
  return false;
}

// FUSE of the guest's kernel has no idmapped mounts: the host's side of the share is one.
void translate_idmap(spec::Mount& mount, SharedSource& shared, const spec::Linux& linux_) {
  const bool recursive = has_option(mount, "ridmap");
  if (mount.uid_mappings.empty() && !recursive && !has_option(mount, "idmap")) return;
  const spec::Namespace* user = linux_.find_namespace(spec::NamespaceType::kUser);
  const bool own = user && user->path.empty();
  shared.uids = mount.uid_mappings.empty() && own ? linux_.uid_mappings : mount.uid_mappings;
  shared.gids = mount.uid_mappings.empty() && own ? linux_.gid_mappings : mount.gid_mappings;
  if (shared.uids.empty())
    throw Error(ErrorKind::kInvalid,
                "mounting " + mount.destination +
                    ": idmap needs uidMappings and gidMappings of the mount, or a new user namespace");
  shared.idmap_recursive = recursive;
  mount.uid_mappings.clear();
  mount.gid_mappings.clear();
  std::erase_if(mount.options, [](const std::string& o) { return o == "idmap" || o == "ridmap"; });
}

void translate_bind(spec::Mount& mount, const GuestConfigArgs& args, const std::string& name,
                    GuestConfig& guest) {
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
  refuse_shared_propagation(mount);
  if (S_ISSOCK(st.st_mode)) {
    if (carries_socket(mount, source, guest)) {
      mount.source = "husk-socket:" + args.id + "/" + std::to_string(guest.sockets.size());
      guest.sockets.push_back({mount.destination, source});
      return;
    }
  } else if (clean_path(mount.destination) == "/etc/resolv.conf") {
    guest.resolv_conf = source;
  }
  const ShareKind kind{is_readonly(mount), has_option(mount, "slave") || has_option(mount, "rslave")};
  SharedSource& shared = guest.shared.emplace_back(SharedSource{name, source, kind});
  translate_idmap(mount, shared, *guest.config.linux_);
  if (shared.uids.empty()) shared.name = volume_name(source, kind);
  shared.watched = args.inotify && !is_engines_file(clean_path(mount.destination));
  mount.source = Share::guest_path(args.id, shared.name);
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

// Nobody could enforce rules on an ordinary user's containers on a host, so engines give them none, and bind
// the devices that were asked for.
void allow_without_rules(spec::Config& config) {
  if (!config.linux_->resources) config.linux_->resources.emplace();
  std::vector<spec::DeviceCgroup>& rules = config.linux_->resources->devices;
  if (rules.empty()) rules.push_back({true, "a", {}, {}, "rwm"});
}

// Podman's `-v SOURCE:DESTINATION:O` and image mounts: its folders are the host's, so the overlay is, too.
void translate_overlay(spec::Mount& mount, const GuestConfigArgs& args, const std::string& name,
                       GuestConfig& guest) {
  std::string data;
  for (const std::string& option : mount.options)
    if (option.find('=') != std::string::npos || option == "volatile" || option == "userxattr")
      data += (data.empty() ? "" : ",") + option;
  // Without an upper layer it is read-only anyway.
  SharedSource& shared = guest.shared.emplace_back(SharedSource{name, data, {is_readonly(mount), false}});
  shared.overlay = true;
  mount.type = "bind";
  mount.source = Share::guest_path(args.id, name);
  mount.options = {"rbind", is_readonly(mount) ? "ro" : "rw"};
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
    with_context("mounting " + printable(destination), [&] {
      if (is_bind(mount) && stat(mount.source.c_str(), &st) == 0 && !S_ISDIR(st.st_mode))
        root.make_file(destination);
      else
        root.make_dirs(destination);
    });
  }
}

// Namespaces by path are the host's. One of another container's shim becomes the agent's name for that
// container's; any other one is named by its inode: who names the same one shares the guest's.
std::string guest_namespace(const spec::Namespace& ns, const GuestConfigArgs& args) {
  using spec::NamespaceType;
  bool network = ns.type == NamespaceType::kNetwork;
  const std::string& path = network ? args.netns : ns.path;
  if (path.empty()) return "";
  pid_t pid = network ? 0 : pid_of_namespace_path(path);
  std::string owner = pid ? args.container_of(pid) : "";
  if (!owner.empty()) return "husk:" + owner;
  bool nameable = network || ns.type == NamespaceType::kIpc || ns.type == NamespaceType::kUts;
  if (pid || !nameable)
    throw Error(ErrorKind::kInvalid, std::string("joining the ") + namespace_file(ns.type) + " namespace " +
                                         printable(path) + ": it is not that of a running husk container");
  UniqueFd fd = with_context("namespace " + printable(path), [&] { return open_file(path, O_RDONLY); });
  if (ioctl(fd.get(), NS_GET_NSTYPE) != namespace_flag(ns.type))
    throw Error(ErrorKind::kInvalid, printable(path) + " is no " + namespace_file(ns.type) + " namespace");
  struct stat st {};
  check(fstat(fd.get(), &st), "stat of " + printable(path));
  return "husk-ns:" + name_of(st);
}

// A resolver on the host's loopback is out of the guest's reach. (A user-defined network's resolver of
// Docker's is one, too, in the container's own network namespace.)
void warn_of_resolver(const spec::Config& host, GuestConfig& guest) {
  if (!in_host_network(host)) return;
  const auto file = std::ranges::find(host.mounts, "/etc/resolv.conf", &spec::Mount::destination);
  if (file == host.mounts.end() || !path_exists(file->source)) return;
  for (const std::string& address : nameservers(read_file(file->source)))
    if (address.starts_with("127.") || address == "::1")
      guest.warnings.push_back(
          "/etc/resolv.conf: the nameserver " + printable(address, 64) +
          " is the host's loopback, which the guest does not reach (the host's resolver is " +
          kUserNetworkResolver + " there)");
}

}  // namespace

GuestConfig make_guest_config(const spec::Config& host, const GuestConfigArgs& args) {
  GuestConfig guest;
  spec::Config& config = guest.config = host;
  // The root of a user namespace is nobody to virtiofsd: it may not be allowed to make them, either.
  const bool mapped = host.linux_ && host.linux_->find_namespace(spec::NamespaceType::kUser);
  if (host.root->readonly || mapped) make_mount_points(host, args.rootfs);
  guest.shared.push_back(SharedSource{"rootfs", args.rootfs, {host.root->readonly, false}});
  config.root->path = Share::guest_path(args.id, "rootfs");
  drop_host_cgroups(config);
  const bool privileged = drop_privileged_binds(config);
  if (config.linux_) make_disks_of_binds(config);
  for (size_t i = 0; i < config.mounts.size(); ++i) {
    spec::Mount& mount = config.mounts[i];
    const std::string name = "mount" + std::to_string(i);
    if (is_bind(mount))
      translate_bind(mount, args, name, guest);
    else if (mount.type == "overlay")
      translate_overlay(mount, args, name, guest);
  }
  config.hooks = {};
  config.hooks.start_container = host.hooks.start_container;
  config.process->apparmor_profile.clear();
  config.process->selinux_label.clear();
  if (config.linux_) {
    config.linux_->mount_label.clear();
    config.linux_->intel_rdt.reset();
    keep_host_name(config);
    if (!config.linux_->find_namespace(spec::NamespaceType::kNetwork))  // the host's: host_network
      config.linux_->namespaces.push_back({spec::NamespaceType::kNetwork, ""});
    warn_of_resolver(host, guest);
    if (config.linux_->resources) config.linux_->resources = guest_resources(*config.linux_->resources);
    for (spec::Namespace& ns : config.linux_->namespaces) ns.path = guest_namespace(ns, args);
    guest.devices = translate_devices(config);
    guest.devices.all = guest.devices.all || privileged;
    if (is_rootless()) allow_without_rules(config);
  }
  return guest;
}

}  // namespace husk::vm
