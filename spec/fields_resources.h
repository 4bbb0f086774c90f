// fields() of the cgroup's resources (config-linux.md, "Control groups"). See fields_process.h.
#pragma once

#include "spec/fields_process.h"

namespace husk::spec {

template <typename A, Is<DeviceCgroup> T>
void fields(A& a, T& v) {
  a("allow", v.allow);
  a("type", v.type);
  a("major", v.major);
  a("minor", v.minor);
  a("access", v.access);
}

template <typename A, Is<MemoryResources> T>
void fields(A& a, T& v) {
  a("limit", v.limit);
  a("reservation", v.reservation);
  a("swap", v.swap);
  a("kernel", v.kernel);
  a("kernelTCP", v.kernel_tcp);
  a("swappiness", v.swappiness);
  a("disableOOMKiller", v.disable_oom_killer);
  a("useHierarchy", v.use_hierarchy);
  a("checkBeforeUpdate", v.check_before_update);
}

template <typename A, Is<CpuResources> T>
void fields(A& a, T& v) {
  a("shares", v.shares);
  a("quota", v.quota);
  a("period", v.period);
  a("burst", v.burst);
  a("realtimePeriod", v.realtime_period);
  a("realtimeRuntime", v.realtime_runtime);
  a("idle", v.idle);
  a("cpus", v.cpus);
  a("mems", v.mems);
}

template <typename A, Is<WeightDevice> T>
void fields(A& a, T& v) {
  a("major", v.major);
  a("minor", v.minor);
  a("weight", v.weight);
  a("leafWeight", v.leaf_weight);
}

template <typename A, Is<ThrottleDevice> T>
void fields(A& a, T& v) {
  a("major", v.major);
  a("minor", v.minor);
  a("rate", v.rate);
}

template <typename A, Is<BlockIoResources> T>
void fields(A& a, T& v) {
  a("weight", v.weight);
  a("leafWeight", v.leaf_weight);
  a("weightDevice", v.weight_device);
  a("throttleReadBpsDevice", v.throttle_read_bps_device);
  a("throttleWriteBpsDevice", v.throttle_write_bps_device);
  a("throttleReadIOPSDevice", v.throttle_read_iops_device);
  a("throttleWriteIOPSDevice", v.throttle_write_iops_device);
}

template <typename A, Is<HugepageLimit> T>
void fields(A& a, T& v) {
  a("pageSize", v.page_size);
  a("limit", v.limit);
}

template <typename A, Is<NetworkResources> T>
void fields(A& a, T& v) {
  a("classID", v.class_id);
  a.priorities("priorities", v.priorities);
}

template <typename A, Is<RdmaLimit> T>
void fields(A& a, T& v) {
  a("hcaHandles", v.hca_handles);
  a("hcaObjects", v.hca_objects);
}

template <typename A, Is<Resources> T>
void fields(A& a, T& v) {
  a("devices", v.devices);
  a("memory", v.memory);
  a("cpu", v.cpu);
  a.nested("pids", "limit", v.pids_limit);
  a("blockIO", v.block_io);
  a("hugepageLimits", v.hugepage_limits);
  a("network", v.network);
  a("rdma", v.rdma);
  a("unified", v.unified);
}

}  // namespace husk::spec
