// sd_notify TEXT: sends it to NOTIFY_SOCKET, as a service that runs in a container does.
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
  const char* path = getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (argc != 2 || !path || strlen(path) >= sizeof address.sun_path) return 2;
  memcpy(address.sun_path, path, strlen(path));
  const int s = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (sendto(s, argv[1], strlen(argv[1]), 0, reinterpret_cast<sockaddr*>(&address), sizeof address) >= 0)
    return 0;
  perror(path);
  return 1;
}
