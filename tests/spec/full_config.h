// A config that has every member husk knows, written as encode_config() writes it.
#pragma once

namespace husk::spec::test {

inline constexpr const char* kFullConfig = R"({
  "ociVersion": "1.2.0",
  "process": {
    "terminal": true,
    "consoleSize": {"height": 24, "width": 80},
    "user": {"uid": 1000, "gid": 4294967294, "umask": 18, "additionalGids": [5, 6], "username": "alice"},
    "args": ["sh", "-c", ""],
    "env": ["PATH=/bin", "EMPTY="],
    "cwd": "/work",
    "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"],
                     "permitted": ["CAP_KILL", "CAP_BPF"], "ambient": ["CAP_SYSLOG"]},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1024}],
    "noNewPrivileges": true,
    "apparmorProfile": "unconfined",
    "oomScoreAdj": -500,
    "selinuxLabel": "system_u:object_r:x:s0",
    "scheduler": {"policy": "SCHED_DEADLINE", "nice": -5, "priority": 0, "flags": ["SCHED_FLAG_RECLAIM"],
                  "runtime": 1000000, "deadline": 2000000, "period": 3000000},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "execCPUAffinity": {"initial": "0-3,7", "final": "1"}
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "box",
  "domainname": "example",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"],
     "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
     "gidMappings": [{"containerID": 0, "hostID": 1001, "size": 2}]}
  ],
  "hooks": {
    "prestart": [{"path": "/h/prestart", "args": ["prestart", "x"], "env": ["A=b"], "timeout": 3}],
    "createRuntime": [{"path": "/h/createRuntime"}],
    "createContainer": [{"path": "/h/createContainer"}],
    "startContainer": [{"path": "/h/startContainer"}],
    "poststart": [{"path": "/h/poststart"}],
    "poststop": [{"path": "/h/poststop"}]
  },
  "annotations": {"org.example": "1", "empty": ""},
  "linux": {
    "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "sysctl": {"net.ipv4.ip_forward": "1"},
    "resources": {
      "devices": [{"allow": false, "access": "rwm"},
                  {"allow": true, "type": "c", "major": 1, "minor": -1, "access": "rw"}],
      "memory": {"limit": 1073741824, "reservation": -1, "swap": 2147483648, "kernel": -1, "kernelTCP": -1,
                 "swappiness": 60, "disableOOMKiller": false, "useHierarchy": true, "checkBeforeUpdate": true},
      "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 5, "realtimePeriod": 6,
              "realtimeRuntime": 7, "idle": 1, "cpus": "0-1", "mems": "0"},
      "pids": {"limit": 0},
      "blockIO": {
        "weight": 500, "leafWeight": 300,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 1000, "leafWeight": 10}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 1}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 2}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 3}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 18446744073709551615}]},
      "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
      "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500},
                                                     {"name": "lo", "priority": 0}]},
      "rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 4}, "none": {}},
      "unified": {"memory.high": "1000", "io.max": ""}
    },
    "cgroupsPath": "/husk/box",
    "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}, {"type": "mount"},
                   {"type": "ipc"}, {"type": "uts"}, {"type": "user"}, {"type": "cgroup"}, {"type": "time"}],
    "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0,
                 "gid": 1}],
    "seccomp": {
      "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
      "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
      "listenerPath": "/run/listener.sock", "listenerMetadata": "m",
      "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                   {"names": ["personality"], "action": "SCMP_ACT_TRACE", "errnoRet": 1,
                    "args": [{"index": 5, "value": 18446744073709551615, "valueTwo": 2,
                              "op": "SCMP_CMP_MASKED_EQ"}]},
                   {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]},
    "rootfsPropagation": "rslave",
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"],
    "mountLabel": "label",
    "intelRdt": {"closID": "guaranteed", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20",
                 "enableCMT": true, "enableMBM": false},
    "personality": {"domain": "LINUX32"},
    "timeOffsets": {"monotonic": {"secs": -172800, "nanosecs": 999999999},
                    "boottime": {"secs": 604800, "nanosecs": 0}}
  }
})";

}  // namespace husk::spec::test
