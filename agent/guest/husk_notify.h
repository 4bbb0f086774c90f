/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What husk-agent says to /dev/husk-notify of husk's own guest kernel (husk_notify.c). */
#ifndef HUSK_NOTIFY_H
#define HUSK_NOTIFY_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct husk_notify {
  __s32 fd;   /* of a directory, O_PATH will do; with an empty name, of the file or directory itself */
  __u32 mask; /* inotify(7)'s IN_CREATE ... IN_MOVED_TO, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, and IN_ISDIR */
  __u32 cookie;   /* of IN_MOVED_FROM and IN_MOVED_TO */
  char name[256]; /* in that directory */
};

/* Returns 1 where somebody watches something in that file system; else nothing was done. */
#define HUSK_NOTIFY _IOW('h', 0x75, struct husk_notify)

#endif
