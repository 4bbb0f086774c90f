// Cgroup::apply: which controller gets what. The controllers whose files v1 and v2 name alike are done here.
#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk {

using cgroup::Controls;

namespace {

// A piece of a config which becomes part of a file's name, or that name.
void check_name(const std::string& name, const char* what) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos ||
      name.find('\0') != name.npos)
    throw Error(ErrorKind::kInvalid, std::string(what) + " \"" + printable(name) + "\" is not a valid name");
}

void limit_cpuset(Controls& c, const spec::CpuResources& cpu) {
  if (!cpu.cpus.empty()) c.set("cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) c.set("cpuset.mems", cpu.mems);
}

void limit_hugetlb(Controls& c, const std::vector<spec::HugepageLimit>& limits) {
  for (const spec::HugepageLimit& limit : limits) {
    check_name(limit.page_size, "hugepage size");
    std::string value = std::to_string(limit.limit), prefix = "hugetlb." + limit.page_size;
    std::string suffix = c.v2() ? ".max" : ".limit_in_bytes";
    c.set(prefix + suffix, value);
    // Reservations are counted apart; without this limit mmap() succeeds and the later fault gets SIGBUS.
    if (!c.has(prefix + ".rsvd" + suffix)) continue;
    int err = c.try_set(prefix + ".rsvd" + suffix, value);
    if (err && err != EOPNOTSUPP) c.fail(prefix + ".rsvd" + suffix, value, err);
  }
}

void limit_rdma(Controls& c, const std::map<std::string, spec::RdmaLimit>& limits) {
  for (const auto& [device, limit] : limits) {
    std::string line = device;
    if (limit.hca_handles) line += " hca_handle=" + std::to_string(*limit.hca_handles);
    if (limit.hca_objects) line += " hca_object=" + std::to_string(*limit.hca_objects);
    if (line != device) c.set("rdma.max", line);
  }
}

void limit_unified(const CgroupHierarchy* h, const std::map<std::string, std::string>& values) {
  for (const auto& [key, value] : values) {
    check_name(key, "linux.resources.unified: key");
    if (!h)
      throw Error(ErrorKind::kUnsupported, "invalid configuration: linux.resources.unified needs cgroup v2");
    if (!cgroup::write_control(h->folder, key, value))
      throw Error(ErrorKind::kUnsupported,
                  "invalid configuration: linux.resources.unified: " + key +
                      ": its controller is not available in " + h->folder,
                  ENOENT);
  }
}

}  // namespace

void Cgroup::check_update(const spec::Resources& resources) const {
  if (!resources.memory) return;
  std::vector<std::string> warnings;
  Controls c(find("memory"), "memory", warnings);
  cgroup::check_memory_usage(c, c.v2() ? "memory.current" : "memory.usage_in_bytes", *resources.memory);
}

std::vector<std::string> Cgroup::apply(const spec::Resources& r) {
  std::vector<std::string> warnings;
  auto controls = [&](const char* name) { return Controls(find(name), name, warnings); };
  if (r.memory) {
    Controls c = controls("memory");
    c.v2() ? cgroup::limit_memory_v2(c, *r.memory) : cgroup::limit_memory_v1(c, *r.memory);
  }
  if (r.cpu) {
    Controls cpu = controls("cpu"), cpuset = controls("cpuset");
    cpu.v2() ? cgroup::limit_cpu_v2(cpu, *r.cpu) : cgroup::limit_cpu_v1(cpu, *r.cpu);
    limit_cpuset(cpuset, *r.cpu);
  }
  if (r.pids_limit) {
    // -1 is unlimited, and CRI-O's 0 too.
    Controls c = controls("pids");
    bool unlimited = *r.pids_limit <= 0;
    if (!unlimited || c.has("pids.max")) c.set("pids.max", unlimited ? "max" : std::to_string(*r.pids_limit));
  }
  if (r.block_io) {
    Controls c = controls(find("io") ? "io" : "blkio");
    c.v2() ? cgroup::limit_io_v2(c, *r.block_io) : cgroup::limit_io_v1(c, *r.block_io);
  }
  Controls hugetlb = controls("hugetlb"), rdma = controls("rdma");
  limit_hugetlb(hugetlb, r.hugepage_limits);
  limit_rdma(rdma, r.rdma);
  if (r.network) {
    // v2 has no such controllers: there they are missing as everything else may be.
    Controls cls = controls("net_cls"), prio = controls("net_prio");
    if (r.network->class_id.value_or(0)) cls.set("net_cls.classid", std::to_string(*r.network->class_id));
    for (const auto& [name, priority] : r.network->priorities)
      prio.set("net_prio.ifpriomap", name + " " + std::to_string(priority));
  }
  limit_unified(unified(), r.unified);
  return warnings;
}

}  // namespace husk
