#include <sys/mount.h>

#include <algorithm>
#include <string_view>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/mounts.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace husk {
namespace {

// runtime-spec config.md, "Linux mount options". `attr` is 0 where mount_setattr(2) has no counterpart.
struct Flag {
  std::string_view name;
  bool clear;
  unsigned long ms;
  uint64_t attr;
};

constexpr Flag kFlags[] = {
    {"defaults", false, 0, 0},
    {"ro", false, MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"rw", true, MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"nosuid", false, MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"suid", true, MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"nodev", false, MS_NODEV, MOUNT_ATTR_NODEV},
    {"dev", true, MS_NODEV, MOUNT_ATTR_NODEV},
    {"noexec", false, MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"exec", true, MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"nosymfollow", false, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"symfollow", true, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"nodiratime", false, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"diratime", true, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"sync", false, MS_SYNCHRONOUS, 0},
    {"async", true, MS_SYNCHRONOUS, 0},
    {"dirsync", false, MS_DIRSYNC, 0},
    {"remount", false, MS_REMOUNT, 0},
    {"mand", false, MS_MANDLOCK, 0},
    {"nomand", true, MS_MANDLOCK, 0},
    {"iversion", false, MS_I_VERSION, 0},
    {"noiversion", true, MS_I_VERSION, 0},
    {"silent", false, MS_SILENT, 0},
    {"loud", true, MS_SILENT, 0},
    {"lazytime", false, MS_LAZYTIME, 0},
    {"nolazytime", true, MS_LAZYTIME, 0},
};

// The access time is one field of several values, not a bit each.
struct Atime {
  std::string_view name;
  bool clear;
  unsigned long ms;
  uint64_t attr;
};

constexpr Atime kAtimes[] = {
    {"noatime", false, MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"atime", true, MS_NOATIME, MOUNT_ATTR_RELATIME},
    {"relatime", false, MS_RELATIME, MOUNT_ATTR_RELATIME},
    {"norelatime", true, MS_RELATIME, MOUNT_ATTR_RELATIME},
    {"strictatime", false, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    {"nostrictatime", true, MS_STRICTATIME, MOUNT_ATTR_RELATIME},
};

struct Propagation {
  std::string_view name;
  unsigned long ms;
};

constexpr Propagation kPropagations[] = {
    {"private", MS_PRIVATE}, {"shared", MS_SHARED}, {"slave", MS_SLAVE}, {"unbindable", MS_UNBINDABLE}};

bool parse_flag(std::string_view name, MountOptions& o) {
  for (const Flag& f : kFlags) {
    if (f.name != name) continue;
    if (f.clear) {
      o.flags &= ~f.ms;
      o.attr_set &= ~f.attr;
      o.attr_clear |= f.attr;
    } else {
      o.flags |= f.ms;
      o.attr_set |= f.attr;
      o.attr_clear &= ~f.attr;
    }
    return true;
  }
  return false;
}

bool parse_atime(std::string_view name, MountOptions& o) {
  for (const Atime& a : kAtimes) {
    if (a.name != name) continue;
    o.flags &= ~static_cast<unsigned long>(MS_NOATIME | MS_RELATIME | MS_STRICTATIME);
    if (!a.clear) o.flags |= a.ms;
    o.attr_set = (o.attr_set & ~static_cast<uint64_t>(MOUNT_ATTR__ATIME)) | a.attr;
    o.attr_clear |= MOUNT_ATTR__ATIME;
    return true;
  }
  return false;
}

bool parse_propagation(std::string_view name, MountOptions& o) {
  for (const Propagation& p : kPropagations) {
    bool recursive = name.size() == p.name.size() + 1 && name[0] == 'r' && name.substr(1) == p.name;
    if (name != p.name && !recursive) continue;
    o.propagation = p.ms;
    o.propagation_recursive = recursive;
    return true;
  }
  return false;
}

// rro, rnosuid, … : the plain option's attribute for the whole tree.
bool parse_recursive(std::string_view name, MountOptions& o) {
  if (name.size() < 3 || name[0] != 'r') return false;
  MountOptions plain;
  if (parse_atime(name.substr(1), plain)) {
    o.rec_set &= ~static_cast<uint64_t>(MOUNT_ATTR__ATIME);
  } else if (!parse_flag(name.substr(1), plain) || !(plain.attr_set | plain.attr_clear)) {
    return false;
  }
  o.rec_set = (o.rec_set & ~plain.attr_clear) | plain.attr_set;
  o.rec_clear = (o.rec_clear & ~plain.attr_set) | plain.attr_clear;
  return true;
}

}  // namespace

std::vector<std::string> mount_option_names() {
  std::vector<std::string> names = {"bind", "rbind", "tmpcopyup", "idmap", "ridmap"};
  for (const Flag& f : kFlags) names.emplace_back(f.name);
  for (const Atime& a : kAtimes) names.emplace_back(a.name);
  for (const Propagation& p : kPropagations) names.emplace_back(p.name);
  MountOptions ignored;
  for (const std::string& name : std::vector(names))
    if (std::string recursive = "r" + name;
        parse_propagation(recursive, ignored) || parse_recursive(recursive, ignored))
      names.push_back(std::move(recursive));
  std::ranges::sort(names);
  return names;
}

MountOptions parse_mount_options(const spec::Mount& mount) {
  MountOptions o;
  o.bind = mount.type == "bind";
  o.idmap = !mount.uid_mappings.empty();
  for (const std::string& name : mount.options) {
    if (name == "bind") {
      o.bind = true;
    } else if (name == "rbind") {
      o.bind = o.recursive = true;
    } else if (name == "tmpcopyup") {
      o.tmpcopyup = true;
    } else if (name == "idmap" || name == "ridmap") {
      o.idmap = true;
      o.idmap_recursive = name == "ridmap";
    } else if (!parse_flag(name, o) && !parse_atime(name, o) && !parse_propagation(name, o) &&
               !parse_recursive(name, o)) {
      if (!o.data.empty()) o.data += ',';
      o.data += name;
    }
  }
  if (o.tmpcopyup && mount.type != "tmpfs")
    throw Error(ErrorKind::kInvalid, "mount " + mount.destination + ": tmpcopyup is for tmpfs only");
  if (o.idmap && !o.bind)
    throw Error(ErrorKind::kInvalid, "mount " + mount.destination + ": only bind mounts can be idmapped");
  return o;
}

}  // namespace husk
