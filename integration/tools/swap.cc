// swap A B: exchanges two names in one step (renameat2(2)), again and again until it is killed: a container
// that changes its files while the runtime walks them.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) return fputs("usage: swap A B\n", stderr), 2;
  while (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) == 0) usleep(50);
  perror("swap");
  return 1;
}
