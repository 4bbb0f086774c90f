// The mounts of a container: the option table of the spec, and how one mount is made below a root that is not
// trusted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcontainer/base/root.h"
#include "spec/config.h"

namespace husk {

// spec::Mount::options, sorted out.
struct MountOptions {
  unsigned long flags = 0;                // MS_…, for a new file system
  uint64_t attr_set = 0, attr_clear = 0;  // MOUNT_ATTR_…, for a bind mount
  uint64_t rec_set = 0, rec_clear = 0;    // the same, for it and all below (rro …)
  unsigned long propagation = 0;          // MS_PRIVATE …, 0: as it comes
  bool propagation_recursive = false;
  bool bind = false, recursive = false;  // recursive: rbind
  bool tmpcopyup = false;
  bool idmap = false, idmap_recursive = false;
  std::string data;  // what the file system itself understands, joined by commas
};

MountOptions parse_mount_options(const spec::Mount& mount);
// All that it knows itself, sorted.
std::vector<std::string> mount_option_names();

// What a mount has to know of its container.
struct MountContext {
  bool foreign_network = false;   // our user namespace may not own the network namespace
  bool cgroup_namespace = false;  // we are in a cgroup namespace of the container's own
  std::string cgroup;             // its cgroup v2 folder, "" unknown
};

// Makes one mount, its destination walked below `root` and made where it is missing. Refuses what would hide
// /proc. A tmpfs with "ro" stays writable until seal_mounts(), because devices and mount points are still
// made in it.
// source: of a bind mount, where open_bind_source() has opened it already.
void apply_mount(const Root& root, const spec::Mount& mount, const MountContext& context,
                 UniqueFd source = {});
// What is bound, as a detached copy of the caller's, idmapped where the mount wants it: by its own mappings,
// else by that of users, a user namespace (-1: there is none, which is an error). Needs /proc of the caller's
// own pid namespace.
UniqueFd open_bind_source(const spec::Mount& mount, const MountOptions& options, int users);
void seal_mounts(const Root& root, const std::vector<spec::Mount>& mounts);

// --- the parts, for rootfs.cc, devices.cc, terminal.cc
// ------------------------------------------------------------- A detached copy of the mount(s) at path
// (relative to dir; empty: dir itself).
UniqueFd clone_mount(int dir, const std::string& path, bool recursive);
// Puts a detached mount at `target` (O_PATH).
void attach_mount(int mount, int target);
// mount_setattr(2) on the mount that fd stands on.
void set_mount_attributes(int fd, uint64_t set, uint64_t clear, unsigned long propagation, bool recursive);
// Idmaps a detached mount by the mappings of a user namespace.
void idmap_mount(int mount, int users, bool recursive);
// cgroup and cgroup2, see mount_cgroup.cc.
void apply_cgroup_mount(const Root& root, const spec::Mount& mount, const MountOptions& options,
                        const MountContext& context);
// bind(2)-style: a detached mount → destination below root, with the options' attributes.
void apply_bind_mount(const Root& root, const UniqueFd& tree, const spec::Mount& mount,
                      const MountOptions& options);
// A new file system at target.
void mount_new(const std::string& source, int target, const std::string& type, unsigned long flags,
               const std::string& data);

}  // namespace husk
