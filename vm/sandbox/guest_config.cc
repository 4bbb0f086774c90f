#include "vm/sandbox/guest_config.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/root.h"
#include "vm/sandbox/placement.h"

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

// Engines make /dev/shm on the host for containers that share it; shared memory is the guest kernel's matter,
// so it gets a tmpfs of the same size there.
void make_shm(spec::Mount& mount, const std::string& source) {
  struct statvfs fs {};
  uint64_t bytes = statvfs(source.c_str(), &fs) == 0 ? static_cast<uint64_t>(fs.f_blocks) * fs.f_frsize : 0;
  // A whole host's /dev/shm is not what a container asked for: 64 MiB is every engine's default.
  if (bytes == 0 || bytes > (1ULL << 30)) bytes = 64ULL << 20;
  mount.type = "tmpfs";
  mount.source = "shm";
  mount.options = {"nosuid", "noexec", "nodev", "mode=1777", "size=" + std::to_string(bytes)};
}

void translate_bind(spec::Mount& mount, const std::string& id, const std::string& bundle,
                    const std::string& name, Share& share, std::vector<std::string>& warnings) {
  std::string source =
      mount.source.rfind('/', 0) == 0 ? clean_path(mount.source) : path_join(bundle, mount.source);
  struct stat st {};
  if (stat(source.c_str(), &st) != 0) throw_errno("mounting " + mount.destination + ": " + source);
  if (clean_path(mount.destination) == "/dev/shm") return make_shm(mount, source);
  // Kernel file systems and device nodes mean the guest's kernel: the same path there.
  if (is_below(source, "/sys") || is_below(source, "/proc") || S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    mount.source = source;
    return;
  }
  if (S_ISSOCK(st.st_mode))
    warnings.push_back(mount.destination + ": a socket of the host cannot be connected to from a VM");
  mount.source = path_join(Share::kGuestRoot, share.add(id, name, source, has_option(mount, "ro")));
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

}  // namespace

spec::Config make_guest_config(const spec::Config& host, const std::string& id, const std::string& rootfs,
                               const std::string& bundle, Share& share,
                               const std::function<std::string(pid_t)>& container_of,
                               std::vector<std::string>& warnings) {
  spec::Config guest = host;
  if (host.root->readonly) make_mount_points(host, rootfs);
  guest.root->path = path_join(Share::kGuestRoot, share.add(id, "rootfs", rootfs, host.root->readonly));
  for (size_t i = 0; i < guest.mounts.size(); ++i)
    if (is_bind(guest.mounts[i]))
      translate_bind(guest.mounts[i], id, bundle, "mount" + std::to_string(i), share, warnings);
  guest.hooks = {};
  guest.hooks.start_container = host.hooks.start_container;
  if (!guest.process->apparmor_profile.empty()) guest.process->apparmor_profile.clear();
  if (!guest.process->selinux_label.empty()) guest.process->selinux_label.clear();
  if (guest.linux_) {
    guest.linux_->mount_label.clear();
    guest.linux_->intel_rdt.reset();
    // Namespaces by path are the host's. That of another container here becomes the agent's name for it;
    // members of a sandbox share its network by being in the same guest.
    for (spec::Namespace& ns : guest.linux_->namespaces) {
      std::string owner = container_of(pid_of_namespace_path(ns.path));
      ns.path = owner.empty() ? "" : "husk:" + owner;
    }
  }
  return guest;
}

}  // namespace husk::vm
