// i386 has its socket and System V IPC calls twice: behind socketcall(2) and ipc(2), and (since Linux 4.3
// and 5.1) as calls of their own. libseccomp names the former by pseudo numbers; here are the latter.
// Internal to seccomp.cc.
#pragma once

#include <string_view>

namespace husk {

inline int i386_direct_number(std::string_view name) {
  struct Row {
    std::string_view name;
    int nr;
  };
  // arch/x86/entry/syscalls/syscall_32.tbl
  static constexpr Row kRows[] = {
      {"recvmmsg", 337},    {"sendmmsg", 345},    {"socket", 359},  {"socketpair", 360}, {"bind", 361},
      {"connect", 362},     {"listen", 363},      {"accept4", 364}, {"getsockopt", 365}, {"setsockopt", 366},
      {"getsockname", 367}, {"getpeername", 368}, {"sendto", 369},  {"sendmsg", 370},    {"recvfrom", 371},
      {"recvmsg", 372},     {"shutdown", 373},    {"semget", 393},  {"semctl", 394},     {"shmget", 395},
      {"shmctl", 396},      {"shmat", 397},       {"shmdt", 398},   {"msgget", 399},     {"msgsnd", 400},
      {"msgrcv", 401},      {"msgctl", 402}};
  for (const Row& row : kRows)
    if (row.name == name) return row.nr;
  return -1;
}

inline constexpr int kI386Socketcall = 102, kI386Ipc = 117;

}  // namespace husk
