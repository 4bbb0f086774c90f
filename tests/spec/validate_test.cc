#include "spec/validate.h"

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"
#include "spec/codec.h"
#include "tests/spec/full_config.h"

namespace husk::spec {
namespace {

using nlohmann::json;

constexpr const char* kSmall = R"({"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/"},
  "root": {"path": "rootfs"},
  "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}})";

// The small config with a JSON merge patch (RFC 7396) on top.
Config patched(const char* patch) {
  json config = json::parse(kSmall);
  config.merge_patch(json::parse(patch));
  return decode_config(config.dump());
}

std::string validate(const Config& config) {
  try {
    validate_config(config);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
    return e.message();
  }
  return "";
}

TEST(Validate, Good) {
  const char* patches[] = {
      "{}",
      R"({"ociVersion": "1.0.2-dev"})",
      R"({"ociVersion": "1.0.0-rc5+git.1"})",
      R"({"ociVersion": "1.17.3"})",
      R"({"linux": null})",
      R"({"process": {"env": ["A=", "B=a=b"], "oomScoreAdj": -1000}})",
      R"({"process": {"rlimits": [{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}, {"type": "RLIMIT_CPU"}]}})",
      R"({"process": {"scheduler": {"policy": "SCHED_FIFO", "priority": 99}}})",
      R"({"process": {"capabilities": {"bounding": ["CAP_UNHEARD_OF"]}}})",
      R"({"mounts": [{"destination": "relative/path"}]})",
      R"({"linux": {"namespaces": [{"type": "user", "path": "/proc/1/ns/user"}],
          "uidMappings": [{"size": 1}], "gidMappings": [{"size": 1}]}})",
      R"({"linux": {"namespaces": [{"type": "user"}], "uidMappings": [{"size": 4294967295}],
          "gidMappings": [{"size": 1}]}})",
      R"({"linux": {"resources": {"memory": {"limit": -1, "swap": -1}, "cpu": {"cpus": "0-3,5", "mems": "0\n"}}}})",
      R"({"linux": {"resources": {"memory": {"limit": 1000, "swap": 0}}}})",
      R"({"linux": {"resources": {"devices": [{"allow": true, "type": "a", "access": ""}]}}})",
      R"({"linux": {"sysctl": {"net.ipv4.conf.eth0/1.forwarding": "1"}}})",
      R"({"linux": {"cgroupsPath": "system.slice:husk:a..b"}})",
      R"({"linux": {"devices": [{"path": "/dev/p", "type": "p"}]}})",
      R"({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}})",
  };
  for (const char* patch : patches) EXPECT_EQ(validate(patched(patch)), "") << patch;
}

struct Broken {
  const char* patch;
  const char* message;
};

void expect_broken(std::initializer_list<Broken> cases) {
  for (const Broken& c : cases) EXPECT_EQ(validate(patched(c.patch)), c.message) << c.patch;
}

TEST(Validate, BrokenTop) {
  expect_broken({
      {R"({"ociVersion": null})", "ociVersion: missing"},
      {R"({"ociVersion": "2.0.0"})", R"(ociVersion: only version 1 is supported, got "2.0.0")"},
      {R"({"ociVersion": "0.9.0"})", R"(ociVersion: only version 1 is supported, got "0.9.0")"},
      {R"({"ociVersion": "1.2"})", R"(ociVersion: expected a version like "1.2.0", got "1.2")"},
      {R"({"ociVersion": "v1.2.0"})", R"(ociVersion: expected a version like "1.2.0", got "v1.2.0")"},
      {R"({"ociVersion": "1.2.0."})", R"(ociVersion: expected a version like "1.2.0", got "1.2.0.")"},
      {R"({"ociVersion": "1.02.0"})", R"(ociVersion: expected a version like "1.2.0", got "1.02.0")"},
      {R"({"ociVersion": "1.2.0-"})", R"(ociVersion: expected a version like "1.2.0", got "1.2.0-")"},
      {R"({"ociVersion": "1.2.0+a b"})", R"(ociVersion: expected a version like "1.2.0", got "1.2.0+a b")"},
      {R"({"process": null})", "process: missing"},
      {R"({"root": null})", "root: missing"},
      {R"({"root": {"path": ""}})", "root.path: missing"},
      {R"({"hostname": "x"})", "hostname: needs a uts namespace"},
      {R"({"domainname": "x"})", "domainname: needs a uts namespace"},
      {R"({"mounts": [{"type": "tmpfs"}]})", "mounts[0].destination: missing"},
      {R"({"mounts": [{"destination": "/a", "uidMappings": [{"size": 1}]}]})",
       "mounts[0]: uidMappings and gidMappings must be given together"},
      {R"({"hooks": {"prestart": [{}]}})", "hooks.prestart[0].path: missing"},
      {R"({"hooks": {"poststop": [{"path": "/a"}, {"path": "b"}]}})",
       R"(hooks.poststop[1].path: must be an absolute path, got "b")"},
      {R"({"hooks": {"createRuntime": [{"path": "/a", "timeout": 0}]}})",
       "hooks.createRuntime[0].timeout: must be greater than zero, got 0"},
      {R"({"hooks": {"createContainer": [{"path": "/a", "env": ["X"]}]}})",
       R"(hooks.createContainer[0].env[0]: expected NAME=value, got "X")"},
  });
}

TEST(Validate, BrokenProcess) {
  expect_broken({
      {R"({"process": {"args": []}})", "process.args: must not be empty"},
      {R"({"process": {"args": [""]}})", "process.args[0]: must not be empty"},
      {R"({"process": {"cwd": null}})", "process.cwd: missing"},
      {R"({"process": {"cwd": "x"}})", R"(process.cwd: must be an absolute path, got "x")"},
      {R"({"process": {"env": ["A=b", "C"]}})", R"(process.env[1]: expected NAME=value, got "C")"},
      {R"({"process": {"env": ["=x"]}})", R"(process.env[0]: expected NAME=value, got "=x")"},
      {R"({"process": {"user": {"umask": 512}}})", "process.user.umask: 512 is above 511 (octal 777)"},
      {R"({"process": {"rlimits": [{"type": "RLIMIT_FOO"}]}})",
       R"(process.rlimits[0].type: unknown resource limit "RLIMIT_FOO")"},
      {R"({"process": {"rlimits": [{"type": "RLIMIT_AS"}, {"type": "RLIMIT_AS"}]}})",
       R"(process.rlimits[1].type: "RLIMIT_AS" is given twice)"},
      {R"({"process": {"rlimits": [{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]}})",
       "process.rlimits[0].soft: 2 is above the hard limit of 1"},
      {R"({"process": {"oomScoreAdj": 1001}})", "process.oomScoreAdj: 1001 is not between -1000 and 1000"},
      {R"({"process": {"scheduler": {}}})", "process.scheduler.policy: missing"},
      {R"({"process": {"scheduler": {"policy": "FIFO"}}})",
       R"(process.scheduler.policy: unknown scheduler policy "FIFO")"},
      {R"({"process": {"scheduler": {"policy": "SCHED_OTHER", "nice": 20}}})",
       "process.scheduler.nice: 20 is not between -20 and 19"},
      {R"({"process": {"scheduler": {"policy": "SCHED_OTHER", "priority": 1}}})",
       "process.scheduler.priority: only for SCHED_FIFO and SCHED_RR"},
      {R"({"process": {"scheduler": {"policy": "SCHED_RR"}}})",
       "process.scheduler.priority: 0 is not between 1 and 99"},
      {R"({"process": {"scheduler": {"policy": "SCHED_RR", "priority": 1, "period": 1}}})",
       "process.scheduler: runtime, deadline and period are only for SCHED_DEADLINE"},
      {R"({"process": {"scheduler": {"policy": "SCHED_OTHER", "flags": ["X"]}}})",
       R"(process.scheduler.flags[0]: unknown scheduler flag "X")"},
      {R"({"process": {"ioPriority": {"class": "BE"}}})",
       R"(process.ioPriority.class: unknown I/O class "BE")"},
      {R"({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}})",
       "process.ioPriority.priority: 8 is not between 0 and 7"},
      {R"({"process": {"execCPUAffinity": {"initial": "3-1"}}})",
       R"(process.execCPUAffinity.initial: expected a list like "0-3,7", got "3-1")"},
      {R"({"process": {"execCPUAffinity": {"final": "1,"}}})",
       R"(process.execCPUAffinity.final: expected a list like "0-3,7", got "1,")"},
  });
}

TEST(Validate, BrokenLinux) {
  expect_broken({
      {R"({"linux": {"namespaces": [{"type": "pid"}, {"type": "pid"}]}})",
       R"(linux.namespaces[1].type: "pid" is given twice)"},
      {R"({"linux": {"namespaces": [{"type": "ipc", "path": "x"}]}})",
       R"(linux.namespaces[0].path: must be an absolute path, got "x")"},
      {R"({"linux": {"uidMappings": [{"size": 1}]}})", "linux.uidMappings: needs a user namespace"},
      {R"({"linux": {"gidMappings": [{"size": 1}]}})", "linux.gidMappings: needs a user namespace"},
      {R"({"linux": {"namespaces": [{"type": "user"}]}})",
       "linux.uidMappings: missing, but a new user namespace needs it"},
      {R"({"linux": {"namespaces": [{"type": "user"}], "uidMappings": [{"size": 0}]}})",
       "linux.uidMappings[0].size: must not be zero"},
      {R"({"linux": {"namespaces": [{"type": "user"}], "uidMappings": [{"hostID": 1, "size": 4294967295}]}})",
       "linux.uidMappings[0]: reaches beyond the last id"},
      {R"({"linux": {"sysctl": {"/etc/passwd": "x"}}})",
       R"(linux.sysctl: "/etc/passwd" is not the name of a sysctl)"},
      {R"({"linux": {"sysctl": {"net/../../x": "x"}}})",
       R"(linux.sysctl: "net/../../x" is not the name of a sysctl)"},
      {R"({"linux": {"cgroupsPath": "/a/../../b"}})",
       R"(linux.cgroupsPath: must not contain "..", got "/a/../../b")"},
      {R"({"linux": {"maskedPaths": ["/a", "b"]}})",
       R"(linux.maskedPaths[1]: must be an absolute path, got "b")"},
      {R"({"linux": {"readonlyPaths": [""]}})", "linux.readonlyPaths[0]: missing"},
      {R"({"linux": {"rootfsPropagation": "public"}})",
       R"(linux.rootfsPropagation: unknown propagation "public")"},
      {R"({"linux": {"devices": [{"path": "fuse", "type": "c"}]}})",
       R"(linux.devices[0].path: must be an absolute path, got "fuse")"},
      {R"({"linux": {"devices": [{"path": "/dev/../x", "type": "c"}]}})",
       R"(linux.devices[0].path: must not contain "..", got "/dev/../x")"},
      {R"({"linux": {"devices": [{"path": "/dev/x", "type": "a"}]}})",
       R"(linux.devices[0].type: unknown device type "a")"},
      {R"({"linux": {"devices": [{"path": "/dev/x", "type": "b", "major": -1}]}})",
       "linux.devices[0].major: -1 is negative"},
      {R"({"linux": {"personality": {"domain": "BSD"}}})",
       R"(linux.personality.domain: unknown domain "BSD")"},
      {R"({"linux": {"personality": {"domain": "LINUX", "flags": ["F"]}}})",
       R"(linux.personality.flags: the spec knows no flag, got "F")"},
      {R"({"linux": {"timeOffsets": {"boottime": {}}}})", "linux.timeOffsets: needs a new time namespace"},
      {R"({"linux": {"namespaces": [{"type": "time"}], "timeOffsets": {"realtime": {}}}})",
       R"(linux.timeOffsets: unknown clock "realtime")"},
      {R"({"linux": {"namespaces": [{"type": "time"}], "timeOffsets": {"boottime": {"nanosecs": 1000000000}}}})",
       "linux.timeOffsets.boottime.nanosecs: 1000000000 is above 999999999"},
  });
}

TEST(Validate, BrokenResources) {
  expect_broken({
      {R"({"linux": {"resources": {"memory": {"limit": -2}}}})",
       "linux.resources.memory.limit: -2 is negative; only -1 (unlimited) may be"},
      {R"({"linux": {"resources": {"memory": {"limit": 20, "swap": 10}}}})",
       "linux.resources.memory.swap: 10 is below the memory limit of 20"},
      {R"({"linux": {"resources": {"memory": {"swappiness": 101}}}})",
       "linux.resources.memory.swappiness: 101 is above 100"},
      {R"({"linux": {"resources": {"cpu": {"cpus": "a"}}}})",
       R"(linux.resources.cpu.cpus: expected a list like "0-3,7", got "a")"},
      {R"({"linux": {"resources": {"cpu": {"idle": 2}}}})",
       "linux.resources.cpu.idle: must be 0 or 1, got 2"},
      {R"({"linux": {"resources": {"devices": [{"access": "rx"}]}}})",
       R"(linux.resources.devices[0].access: expected letters of "rwm", got "rx")"},
      {R"({"linux": {"resources": {"devices": [{"type": "z"}]}}})",
       R"(linux.resources.devices[0].type: unknown device type "z")"},
      {R"({"linux": {"resources": {"devices": [{"major": -2}]}}})",
       "linux.resources.devices[0].major: below -1 (any)"},
      {R"({"linux": {"resources": {"hugepageLimits": [{"pageSize": "2mb"}]}}})",
       R"(linux.resources.hugepageLimits[0].pageSize: expected a size like "2MB", got "2mb")"},
      {R"({"linux": {"resources": {"unified": {"../x": "1"}}}})",
       R"(linux.resources.unified: "../x" is not the name of a cgroup file)"},
  });
}

TEST(Validate, BrokenSeccomp) {
  const auto check = [](const char* seccomp, const char* message) {
    const std::string patch = R"({"linux": {"seccomp": )" + std::string(seccomp) + "}}";
    EXPECT_EQ(validate(patched(patch.c_str())), "linux.seccomp." + std::string(message)) << seccomp;
  };
  const auto syscalls = [&](const char* list, const char* message) {
    check((R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": )" + std::string(list) + "}").c_str(), message);
  };
  check(R"({"syscalls": [{}]})", "defaultAction: missing");
  check(R"({"defaultAction": "ALLOW"})", R"(defaultAction: unknown seccomp action "ALLOW")");
  check(R"({"defaultAction": "SCMP_ACT_NOTIFY"})",
        "defaultAction: SCMP_ACT_NOTIFY cannot be the default: nobody could answer the first call");
  check(R"({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1})",
        "defaultErrnoRet: only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not for SCMP_ACT_KILL");
  check(R"({"defaultAction": "SCMP_ACT_KILL", "architectures": ["x86"]})",
        R"(architectures[0]: unknown architecture "x86")");
  check(R"({"defaultAction": "SCMP_ACT_KILL", "flags": ["F"]})", R"(flags[0]: unknown seccomp flag "F")");
  check(R"({"defaultAction": "SCMP_ACT_KILL", "listenerMetadata": "m"})",
        "listenerMetadata: needs listenerPath");
  check(R"({"defaultAction": "SCMP_ACT_KILL", "listenerPath": "p"})",
        R"(listenerPath: must be an absolute path, got "p")");
  syscalls(R"([{"action": "SCMP_ACT_LOG"}])", "syscalls[0].names: must not be empty");
  syscalls(R"([{"names": [""], "action": "SCMP_ACT_LOG"}])", "syscalls[0].names[0]: must not be empty");
  syscalls(R"([{"names": ["read"]}])", "syscalls[0].action: missing");
  syscalls(R"([{"names": ["read"], "action": "X"}])", R"(syscalls[0].action: unknown seccomp action "X")");
  syscalls(R"([{"names": ["read"], "action": "SCMP_ACT_LOG", "errnoRet": 1}])",
           "syscalls[0].errnoRet: only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not for SCMP_ACT_LOG");
  syscalls(R"([{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 6}]}])",
           "syscalls[0].args[0].index: 6 is above 5, the last argument");
  syscalls(R"([{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"op": "EQ"}]}])",
           R"(syscalls[0].args[0].op: unknown seccomp operator "EQ")");
  syscalls(R"([{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}])",
           "listenerPath: missing, but SCMP_ACT_NOTIFY needs it");
}

TEST(Validate, ProcessAndResourcesAlone) {
  try {
    validate_process(decode_process(R"({"args": ["a"], "cwd": "b"})"), "exec");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.message(), R"(exec.cwd: must be an absolute path, got "b")");
  }
  EXPECT_THROW(validate_resources(decode_resources(R"({"memory": {"limit": -3}})")), Error);
  EXPECT_NO_THROW(validate_resources(Resources()));
}

TEST(Validate, Warnings) {
  EXPECT_EQ(config_warnings(patched("{}")), std::vector<std::string>());
  const std::vector<std::string> warnings = config_warnings(patched(R"({"ociVersion": "1.3.0",
    "process": {"capabilities": {"ambient": ["CAP_KILL", "CAP_X"]}, "apparmorProfile": "p", "selinuxLabel": "l"},
    "linux": {"mountLabel": "m", "intelRdt": {}, "uidMappings": [{"size": 1}],
              "namespaces": [{"type": "user", "path": "/proc/1/ns/user"}],
              "resources": {"memory": {"kernel": 1, "useHierarchy": true}}}})"));
  ASSERT_EQ(warnings.size(), 9u);
  EXPECT_EQ(warnings[0], R"(ociVersion: "1.3.0" is newer than 1.2.0; what it added is ignored)");
  EXPECT_EQ(warnings[1], R"(process.capabilities.ambient: unknown capability "CAP_X" ignored)");
  EXPECT_EQ(warnings[2], "process.apparmorProfile: not supported, ignored");
}

}  // namespace
}  // namespace husk::spec
