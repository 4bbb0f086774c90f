// file_checks all FOLDER: what POSIX and Linux promise of a file system, tried in a folder of its own below
// FOLDER: a line "NAME: ok" or "NAME: why not" each; run as root. file_checks hold flock|fcntl FILE: takes
// the lock, says "held", keeps it until its stdin ends. file_checks try flock|fcntl FILE: says "free" or
// "busy". For files.bats, in a container.
#include "file_checks.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <cstdio>
#include <set>

namespace {

using namespace file_checks;

void open_unlink_fstat() {
  Fd file = create("f");
  put(file, "text");
  done(unlink("f"), "unlink");
  expect(status(file).st_nlink == 0, "no links");
  put(file, " more");
  expect(at_start(file) == "text more", "what was written is read");
  done(ftruncate(file, 2), "ftruncate");
  done(fchmod(file, 0600), "fchmod");
  expect(status(file).st_size == 2 && (status(file).st_mode & 0777) == 0600,
         "size and mode of what has no name");
}

void exclusive_create() {
  create("f");
  refused(open("f", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST, "O_EXCL");
  refused(open("none", O_RDWR), ENOENT, "open of nothing");
  refused(mkdir("f", 0755), EEXIST, "mkdir over a file");
  put(Fd(open("f", O_WRONLY)), "text");
  Fd(open("f", O_WRONLY | O_TRUNC));
  expect(status("f").st_size == 0, "O_TRUNC");
}

void rename_over() {
  Fd first = create("a");
  put(first, "first");
  put(create("b"), "second");
  done(rename("b", "a"), "rename");
  expect(content("a") == "second" && at_start(first) == "first", "the old file lives on for who has it open");
  refused(access("b", F_OK), ENOENT, "the old name");
  put(create("c"), "third");
  done(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_EXCHANGE), "RENAME_EXCHANGE");
  expect(content("a") == "third" && content("c") == "second", "exchanged");
  refused(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE), EEXIST, "RENAME_NOREPLACE");
  done(mkdir("d", 0755), "mkdir");
  done(mkdir("e", 0755), "mkdir");
  create("e/f");
  refused(rename("d", "e"), ENOTEMPTY, "rename over a full folder");
  done(rename("e", "d"), "rename over an empty folder");
}

void append_from_two() {
  constexpr int kLines = 2000;
  const auto writer = [](char letter) {
    Fd file(open("log", O_WRONLY | O_APPEND | O_CREAT, 0644));
    for (int i = 0; i < kLines; ++i) put(file, string(31, letter) + "\n");
  };
  in_child([&] { writer('a'); }, [&] { writer('b'); });
  Fd file(open("log", O_RDONLY));
  expect(status(file).st_size == 2 * kLines * 32, "no line lost");
  const string all = at_start(file, 2 * kLines * 32);
  for (size_t i = 0; i < all.size(); i += 32)
    expect(all.compare(i, 31, string(31, all[i])) == 0 && all[i + 31] == '\n', "whole lines");
}

void shared_mapping() {
  constexpr size_t kSize = 3 * 4096;
  Fd file = create("f");
  done(ftruncate(file, kSize), "ftruncate");
  void* address = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (address == MAP_FAILED) done(-1, "mmap");
  char* map = static_cast<char*>(address);
  strcpy(map + 4096, "mapped");
  in_child([&] {
    Fd other(open("f", O_RDWR));
    char text[7];
    done(pread(other, text, 7, 4096), "pread");
    expect(string(text) == "mapped", "another process reads what was mapped");
    done(pwrite(other, "written", 8, 8192), "pwrite");
  });
  expect(string(map + 8192) == "written", "what was written is in the map");
  done(msync(map, kSize, MS_SYNC), "msync");
  munmap(map, kSize);
  char text[8];
  done(pread(file, text, 7, 4096), "pread");
  expect(string(text, 6) == "mapped", "it stays");
}

struct flock range(short type, off_t start, off_t length) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

void locks() {
  Fd file = create("f");
  struct flock lock = range(F_WRLCK, 0, 10);
  done(fcntl(file, F_SETLK, &lock), "F_SETLK");
  done(::flock(file, LOCK_EX), "flock");
  in_child([&] {
    Fd other(open("f", O_RDWR));
    struct flock theirs = range(F_WRLCK, 5, 1);
    refused(fcntl(other, F_SETLK, &theirs), EAGAIN, "a lock over another's");
    done(fcntl(other, F_GETLK, &theirs), "F_GETLK");
    expect(theirs.l_type == F_WRLCK && theirs.l_pid == getppid(), "whose lock it is");
    struct flock beside = range(F_WRLCK, 10, 1);
    done(fcntl(other, F_SETLK, &beside), "a lock beside another's");
    refused(::flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK, "flock");
  });
  int ready[2];
  done(pipe(ready), "pipe");
  in_child(
      [&] {
        Fd other(open("f", O_RDWR));
        put(ready[1], "x");
        struct flock waits = range(F_WRLCK, 0, 1);
        done(fcntl(other, F_SETLKW, &waits), "F_SETLKW");
        done(::flock(other, LOCK_EX), "flock that waits");
      },
      [&] {
        char x;
        done(read(ready[0], &x, 1), "read");
        lock.l_type = F_UNLCK;
        done(fcntl(file, F_SETLK, &lock), "F_UNLCK");
        done(::flock(file, LOCK_UN), "LOCK_UN");
      });
  struct flock open_lock = range(F_WRLCK, 0, 0);
  done(fcntl(file, F_OFD_SETLK, &open_lock), "F_OFD_SETLK");
  Fd again(open("f", O_RDWR));
  refused(fcntl(again, F_OFD_SETLK, &open_lock), EAGAIN, "F_OFD_SETLK by another open file");
}

void links() {
  put(create("a"), "text");
  done(link("a", "b"), "link");
  expect(status("a").st_nlink == 2 && status("a").st_ino == status("b").st_ino, "one file, two names");
  put(Fd(open("b", O_WRONLY | O_APPEND)), " more");
  expect(content("a") == "text more", "the same content");
  done(unlink("a"), "unlink");
  expect(status("b").st_nlink == 1, "one name left");
  done(symlink("b", "s"), "symlink");
  char target[16];
  expect(done(readlink("s", target, sizeof target), "readlink") == 1 && target[0] == 'b', "its target");
  refused(open("s", O_RDONLY | O_NOFOLLOW), ELOOP, "O_NOFOLLOW");
  done(symlink("loop", "loop"), "symlink");
  refused(open("loop", O_RDONLY), ELOOP, "a loop");
}

void sparse_files() {
  constexpr off_t kSize = 64 << 20;
  Fd file = create("f");
  done(ftruncate(file, kSize), "ftruncate");
  done(pwrite(file, "end", 3, kSize - 3), "pwrite");
  expect(status(file).st_size == kSize && status(file).st_blocks < 2048, "few blocks");
  expect(done(lseek(file, 0, SEEK_DATA), "SEEK_DATA") >= kSize - (1 << 20), "where data begin");
  expect(done(lseek(file, 0, SEEK_HOLE), "SEEK_HOLE") == 0, "where a hole begins");
  done(fallocate(file, 0, 0, 1 << 20), "fallocate");
  expect(status(file).st_blocks >= 2048, "blocks for what was allocated");
  done(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20), "FALLOC_FL_PUNCH_HOLE");
  expect(status(file).st_blocks < 2048, "blocks given back");
}

void extended_attributes() {
  create("f");
  done(setxattr("f", "user.a", "value", 5, 0), "setxattr");
  char value[16];
  expect(done(getxattr("f", "user.a", value, sizeof value), "getxattr") == 5 && !memcmp(value, "value", 5),
         "its value");
  refused(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST, "XATTR_CREATE");
  refused(getxattr("f", "user.none", value, sizeof value), ENODATA, "getxattr of nothing");
  refused(getxattr("f", "user.a", value, 2), ERANGE, "getxattr with little room");
  char names[256];
  const ssize_t n = done(listxattr("f", names, sizeof names), "listxattr");
  expect(string(names, static_cast<size_t>(n)).find("user.a") != string::npos, "its name");
  done(removexattr("f", "user.a"), "removexattr");
  refused(getxattr("f", "user.a", value, sizeof value), ENODATA, "what was removed");
}

void owners_and_modes() {
  Fd file = create("f");
  done(fchown(file, 1000, 1001), "fchown");
  done(fchmod(file, 06755), "fchmod");
  expect(
      status(file).st_uid == 1000 && status(file).st_gid == 1001 && (status(file).st_mode & 07777) == 06755,
      "as it was set");
  done(fchown(file, 1000, 1001), "fchown");
  expect((status(file).st_mode & 06000) == 0, "chown takes set-id bits away");
  done(fchmod(file, 06755), "fchmod");
  as_user([] { put(Fd(open("f", O_WRONLY)), "x"); });
  expect((status(file).st_mode & 06000) == 0, "a user's write takes set-id bits away");
  umask(027);
  create("g", O_RDWR | O_CREAT, 0666);
  umask(022);
  expect((status("g").st_mode & 0777) == 0640, "umask");
}

void as_root_and_user() {
  put(create("secret", O_RDWR | O_CREAT, 0600), "x");
  done(mkdir("sticky", 0), "mkdir");
  done(chmod("sticky", 01777), "chmod");
  create("sticky/roots");
  done(mkdir("group", 0), "mkdir");
  done(chown("group", 0, 2002), "chown");
  done(chmod("group", 02777), "chmod");
  as_user([] {
    refused(open("secret", O_RDONLY), EACCES, "another's file");
    refused(open("new", O_CREAT | O_RDWR, 0644), EACCES, "a file in another's folder");
    refused(unlink("sticky/roots"), EPERM, "unlink in a sticky folder");
    refused(chown("secret", 1000, 1001), EPERM, "chown");
    refused(chmod("secret", 0777), EPERM, "chmod");
    create("sticky/own");
    expect(status("sticky/own").st_uid == 1000 && status("sticky/own").st_gid == 1001, "whose file it is");
    create("group/f");
    done(mkdir("group/d", 0755), "mkdir");
    expect(status("group/f").st_gid == 2002 && (status("group/d").st_mode & S_ISGID),
           "a set-gid folder's group");
  });
}

std::set<string> names_in(const char* folder) {
  std::set<string> names;
  DIR* dir = opendir(folder);
  if (!dir) done(-1, "opendir");
  while (const dirent* entry = readdir(dir))
    if (!names.insert(entry->d_name).second) fail(string("twice in the folder: ") + entry->d_name);
  closedir(dir);
  return names;
}

void large_folder() {
  constexpr size_t kEntries = 10000;
  done(mkdir("d", 0755), "mkdir");
  for (size_t i = 0; i < kEntries; ++i) create(("d/" + std::to_string(i)).c_str());
  expect(names_in("d").size() == kEntries + 2, "every entry once");
  for (size_t i = 0; i < kEntries; ++i) done(unlink(("d/" + std::to_string(i)).c_str()), "unlink");
  expect(names_in("d").size() == 2, "empty");
  done(rmdir("d"), "rmdir");
}

void long_names() {
  const string longest(255, 'n'), longer(256, 'n');
  create(longest.c_str());
  expect(names_in(".").count(longest) == 1, "in its folder");
  refused(open(longer.c_str(), O_CREAT | O_RDWR, 0644), ENAMETOOLONG, "256 bytes");
  const string odd = "\xff\x01 \n\\";
  create(odd.c_str());
  expect(names_in(".").count(odd) == 1, "any bytes");
}

void fifos() {
  done(mkfifo("p", 0644), "mkfifo");
  expect(S_ISFIFO(status("p").st_mode), "its type");
  in_child([] { put(Fd(open("p", O_WRONLY)), "through"); },
           [] {
             Fd end(open("p", O_RDONLY));
             char text[16];
             expect(done(read(end, text, sizeof text), "read") == 7, "what was sent");
           });
}

void sockets() {
  Fd listener(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{AF_UNIX, "socket"};
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  done(bind(listener, name, sizeof address), "bind");
  done(listen(listener, 1), "listen");
  expect(S_ISSOCK(status("socket").st_mode), "its type");
  in_child(
      [&] {
        Fd client(socket(AF_UNIX, SOCK_STREAM, 0));
        done(connect(client, name, sizeof address), "connect");
        put(client, "hello");
      },
      [&] {
        Fd peer(accept(listener, nullptr, nullptr));
        char text[16];
        expect(done(read(peer, text, sizeof text), "read") == 5, "what was sent");
      });
}

void unnamed_file() {
  Fd file(open(".", O_TMPFILE | O_RDWR, 0644));
  put(file, "text");
  done(linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file)).c_str(), AT_FDCWD, "named",
              AT_SYMLINK_FOLLOW),
       "linkat");
  expect(content("named") == "text", "its content");
}

void copies() {
  Fd from = create("a"), to = create("b"), third = create("c");
  put(from, string(10000, 'x'));
  off_t in = 0, out = 0;
  expect(done(copy_file_range(from, &in, to, &out, 10000, 0), "copy_file_range") == 10000, "all of it");
  expect(at_start(to, 10001) == string(10000, 'x'), "the copy");
  off_t begin = 0;
  expect(done(sendfile(third, from, &begin, 10000), "sendfile") == 10000, "all of it");
  expect(at_start(third, 10001) == string(10000, 'x'), "sendfile's copy");
}

void deleted_folder() {
  done(mkdir("d", 0755), "mkdir");
  done(chdir("d"), "chdir");
  done(rmdir("../d"), "rmdir");
  char path[256];
  if (getcwd(path, sizeof path)) fail("getcwd: was not refused");
  expect(errno == ENOENT, "getcwd says ENOENT");
  refused(open("f", O_CREAT | O_RDWR, 0644), ENOENT, "a file in a deleted folder");
}

void times() {
  Fd file = create("f");
  const timespec set[2] = {{1000000000, 123456789}, {1234567890, 987654321}};
  done(futimens(file, set), "futimens");
  expect(status(file).st_mtim.tv_sec == 1234567890 && status(file).st_mtim.tv_nsec == 987654321,
         "nanoseconds");
  put(file, "x");
  expect(status(file).st_mtim.tv_sec > 1234567890, "a write is seen in mtime");
  done(fsync(file), "fsync");
  done(fdatasync(file), "fdatasync");
  done(syncfs(file), "syncfs");
}

const struct {
  const char* name;
  void (*run)();
} kChecks[] = {{"open, unlink, fstat", open_unlink_fstat},
               {"O_EXCL and O_TRUNC", exclusive_create},
               {"rename over", rename_over},
               {"O_APPEND from two processes", append_from_two},
               {"mmap, shared and written", shared_mapping},
               {"flock and fcntl locks", locks},
               {"hard and symbolic links", links},
               {"sparse files", sparse_files},
               {"extended attributes", extended_attributes},
               {"owners and modes", owners_and_modes},
               {"as root and as a user", as_root_and_user},
               {"a folder of 10000 entries", large_folder},
               {"names of 255 bytes", long_names},
               {"fifos", fifos},
               {"sockets", sockets},
               {"O_TMPFILE", unnamed_file},
               {"copy_file_range and sendfile", copies},
               {"a deleted current folder", deleted_folder},
               {"times and syncs", times}};

void check_all(const char* folder) {
  int number = 0;
  for (const auto& check : kChecks) {
    string result = "ok";
    try {
      const string own = string(folder) + "/check" + std::to_string(++number);
      done(mkdir(own.c_str(), 0755), "mkdir");
      done(chdir(own.c_str()), "chdir");
      check.run();
    } catch (const std::exception& e) {
      result = e.what();
    }
    printf("%s: %s\n", check.name, result.c_str());
    fflush(stdout);
  }
}

// Waits to be killed, without msync and munmap.
[[noreturn]] void write_mapped(char** files) {
  constexpr size_t kSize = 96 * 4096, kPage = 4096;
  for (; *files; ++files) {
    const int file = done(open(*files, O_RDWR | O_CREAT, 0644), "open");
    done(ftruncate(file, kSize), "ftruncate");
    void* map = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) done(-1, "mmap");
    close(file);
    // Each other page: neighbours go back in one request. And few: of many, most are written before the end.
    for (size_t at = 0; at < kSize; at += 2 * kPage) memset(static_cast<char*>(map) + at, 'm', kPage);
  }
  puts("written");
  fflush(stdout);
  for (;;) pause();
}

// False: somebody else has it.
bool lock(const string& kind, int file) {
  struct flock whole = range(F_WRLCK, 0, 0);
  if ((kind == "flock" ? ::flock(file, LOCK_EX | LOCK_NB) : fcntl(file, F_SETLK, &whole)) == 0) return true;
  expect(errno == EAGAIN || errno == EACCES, "busy is EAGAIN");
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const string verb = argc > 1 ? argv[1] : "";
  if (verb == "all" && argc == 3) {
    check_all(argv[2]);
    return 0;
  }
  if (verb == "map" && argc > 2) write_mapped(argv + 2);
  if ((verb != "hold" && verb != "try") || argc != 4) {
    fputs("usage: file_checks all FOLDER | map FILE... | hold|try flock|fcntl FILE\n", stderr);
    return 2;
  }
  Fd file(open(argv[3], O_RDWR | O_CREAT, 0666));
  const bool taken = lock(argv[2], file);
  puts(!taken ? "busy" : verb == "hold" ? "held" : "free");
  fflush(stdout);
  char c;
  while (verb == "hold" && read(0, &c, 1) > 0) {
  }
  return 0;
}
