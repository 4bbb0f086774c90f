// fields() of the process and of what every platform has (config.md): which JSON member is which struct
// member. Private to spec/.
#pragma once

#include "spec/config.h"
#include "spec/fields.h"

namespace husk::spec {

template <typename A, Is<Box> T>
void fields(A& a, T& v) {
  a("height", v.height);
  a("width", v.width);
}

template <typename A, Is<User> T>
void fields(A& a, T& v) {
  a("uid", v.uid);
  a("gid", v.gid);
  a("umask", v.umask);
  a("additionalGids", v.additional_gids);
  a("username", v.username);
}

template <typename A, Is<Rlimit> T>
void fields(A& a, T& v) {
  a("type", v.type);
  a("hard", v.hard);
  a("soft", v.soft);
}

template <typename A, Is<Capabilities> T>
void fields(A& a, T& v) {
  a("bounding", v.bounding);
  a("effective", v.effective);
  a("inheritable", v.inheritable);
  a("permitted", v.permitted);
  a("ambient", v.ambient);
}

template <typename A, Is<Scheduler> T>
void fields(A& a, T& v) {
  a("policy", v.policy);
  a("nice", v.nice);
  a("priority", v.priority);
  a("flags", v.flags);
  a("runtime", v.runtime);
  a("deadline", v.deadline);
  a("period", v.period);
}

template <typename A, Is<IoPriority> T>
void fields(A& a, T& v) {
  a("class", v.class_name);
  a("priority", v.priority);
}

template <typename A, Is<CpuAffinity> T>
void fields(A& a, T& v) {
  a("initial", v.initial);
  a("final", v.final);
}

template <typename A, Is<Process> T>
void fields(A& a, T& v) {
  a("terminal", v.terminal);
  a("consoleSize", v.console_size);
  a("user", v.user);
  a("args", v.args);
  a("env", v.env);
  a("cwd", v.cwd);
  a("capabilities", v.capabilities);
  a("rlimits", v.rlimits);
  a("noNewPrivileges", v.no_new_privileges);
  a("apparmorProfile", v.apparmor_profile);
  a("oomScoreAdj", v.oom_score_adj);
  a("selinuxLabel", v.selinux_label);
  a("scheduler", v.scheduler);
  a("ioPriority", v.io_priority);
  a("execCPUAffinity", v.exec_cpu_affinity);
}

template <typename A, Is<Root> T>
void fields(A& a, T& v) {
  a("path", v.path);
  a("readonly", v.readonly);
}

template <typename A, Is<IdMapping> T>
void fields(A& a, T& v) {
  a("containerID", v.container_id);
  a("hostID", v.host_id);
  a("size", v.size);
}

template <typename A, Is<Mount> T>
void fields(A& a, T& v) {
  a("destination", v.destination);
  a("type", v.type);
  a("source", v.source);
  a("options", v.options);
  a("uidMappings", v.uid_mappings);
  a("gidMappings", v.gid_mappings);
}

template <typename A, Is<Hook> T>
void fields(A& a, T& v) {
  a("path", v.path);
  a("args", v.args);
  a("env", v.env);
  a("timeout", v.timeout);
}

template <typename A, Is<Hooks> T>
void fields(A& a, T& v) {
  a("prestart", v.prestart);
  a("createRuntime", v.create_runtime);
  a("createContainer", v.create_container);
  a("startContainer", v.start_container);
  a("poststart", v.poststart);
  a("poststop", v.poststop);
}

}  // namespace husk::spec
