// fields() of the linux object (config-linux.md) and of the whole config. See fields_process.h.
#pragma once

#include "spec/fields_process.h"
#include "spec/fields_resources.h"

namespace husk::spec {

template <typename A, Is<Namespace> T>
void fields(A& a, T& v) {
  a.required("type", v.type);
  a("path", v.path);
}

template <typename A, Is<Device> T>
void fields(A& a, T& v) {
  a("path", v.path);
  a("type", v.type);
  a("major", v.major);
  a("minor", v.minor);
  a("fileMode", v.file_mode);
  a("uid", v.uid);
  a("gid", v.gid);
}

template <typename A, Is<SeccompArg> T>
void fields(A& a, T& v) {
  a("index", v.index);
  a("value", v.value);
  a("valueTwo", v.value_two);
  a("op", v.op);
}

template <typename A, Is<SeccompSyscall> T>
void fields(A& a, T& v) {
  a("names", v.names);
  a("action", v.action);
  a("errnoRet", v.errno_ret);
  a("args", v.args);
}

template <typename A, Is<Seccomp> T>
void fields(A& a, T& v) {
  a("defaultAction", v.default_action);
  a("defaultErrnoRet", v.default_errno_ret);
  a("architectures", v.architectures);
  a("flags", v.flags);
  a("listenerPath", v.listener_path);
  a("listenerMetadata", v.listener_metadata);
  a("syscalls", v.syscalls);
}

template <typename A, Is<IntelRdt> T>
void fields(A& a, T& v) {
  a("closID", v.clos_id);
  a("l3CacheSchema", v.l3_cache_schema);
  a("memBwSchema", v.mem_bw_schema);
  a("enableCMT", v.enable_cmt);
  a("enableMBM", v.enable_mbm);
}

template <typename A, Is<Personality> T>
void fields(A& a, T& v) {
  a("domain", v.domain);
  a("flags", v.flags);
}

template <typename A, Is<TimeOffset> T>
void fields(A& a, T& v) {
  a("secs", v.secs);
  a("nanosecs", v.nanosecs);
}

template <typename A, Is<Linux> T>
void fields(A& a, T& v) {
  a("uidMappings", v.uid_mappings);
  a("gidMappings", v.gid_mappings);
  a("sysctl", v.sysctl);
  a("resources", v.resources);
  a("cgroupsPath", v.cgroups_path);
  a("namespaces", v.namespaces);
  a("devices", v.devices);
  a("seccomp", v.seccomp);
  a("rootfsPropagation", v.rootfs_propagation);
  a("maskedPaths", v.masked_paths);
  a("readonlyPaths", v.readonly_paths);
  a("mountLabel", v.mount_label);
  a("intelRdt", v.intel_rdt);
  a("personality", v.personality);
  a("timeOffsets", v.time_offsets);
}

template <typename A, Is<Config> T>
void fields(A& a, T& v) {
  a("ociVersion", v.oci_version);
  a("process", v.process);
  a("root", v.root);
  a("hostname", v.hostname);
  a("domainname", v.domainname);
  a("mounts", v.mounts);
  a("hooks", v.hooks);
  a("annotations", v.annotations);
  a("linux", v.linux_);
}

}  // namespace husk::spec
