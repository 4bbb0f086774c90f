// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/husk-notify: tells who watches a directory in this guest (inotify, fanotify) of what happened to it on the
 * host. A file system that another kernel serves says nothing of that by itself, and whatever a program here could do
 * to cause an event would be done on the host, too. This does nothing there but to look: what this kernel remembers
 * of the name is brought up to date first, so that who is told sees what he is told of.
 */
#include <linux/capability.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/namei.h>
#include <linux/uaccess.h>

#include "../../fs/internal.h"  /* vfs_path_lookup */
#include "husk_notify.h"

#define GONE (FS_DELETE | FS_MOVED_FROM)
#define COME (FS_CREATE | FS_MOVED_TO)
#define CHANGED (FS_MODIFY | FS_ATTRIB | FS_CLOSE_WRITE)

static void refresh(const struct path *dir, struct dentry *dentry)
{
	struct path path = { .mnt = dir->mnt, .dentry = dentry };
	struct kstat stat;

	vfs_getattr(&path, &stat, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC);
}

/* One event a bit, in the order in which they happen to a file. data: an inode of that file system. */
static void tell_name(struct inode *dir, const struct qstr *name, u32 mask, u32 isdir, u32 cookie, struct inode *data)
{
	u32 bit;

	for (bit = 1; bit && bit <= mask; bit <<= 1)
		if (mask & bit)
			fsnotify_name(bit | isdir, data, FSNOTIFY_EVENT_INODE, dir, name,
				      bit & FS_MOVE ? cookie : 0);
}

static void tell_change(struct dentry *dentry, u32 mask)
{
	u32 bit;

	for (bit = 1; bit && bit <= mask; bit <<= 1)
		if (mask & bit)
			fsnotify_dentry(dentry, bit);
}

/* The name has left this inode, of which IN_DELETE_SELF comes by itself, with the last of its names and users. */
static void tell_left(struct inode *inode, u32 mask)
{
	if (mask & FS_MOVED_FROM)
		fsnotify_inode(inode, FS_MOVE_SELF);
	else if (!S_ISDIR(inode->i_mode))
		fsnotify_link_count(inode);
}

static void notify_name(const struct path *dir, struct husk_notify *n)
{
	struct inode *dir_inode = d_inode(dir->dentry), *old_inode = NULL;
	struct qstr name = QSTR_INIT(n->name, strlen(n->name));
	struct dentry *old = d_hash_and_lookup(dir->dentry, &name);
	u32 isdir = n->mask & FS_ISDIR;
	struct path path;
	bool exists, same;

	if (IS_ERR(old))
		return;
	if (old && d_really_is_positive(old)) {
		old_inode = d_inode(old);
		refresh(dir, old);  /* its link count */
	}
	if (n->mask & (GONE | COME))
		refresh(dir, dir->dentry);
	exists = !vfs_path_lookup(dir->dentry, dir->mnt, n->name, LOOKUP_REVAL, &path);
	same = exists && path.mnt == dir->mnt && path.dentry->d_parent == dir->dentry;

	/* What went and came, or came and went: what is there now tells which. */
	if (exists)
		tell_name(dir_inode, &name, n->mask & GONE, isdir, n->cookie, old_inode ?: dir_inode);
	tell_name(dir_inode, &name, n->mask & COME, isdir, n->cookie, same ? d_inode(path.dentry) : dir_inode);
	if (same)
		tell_change(path.dentry, n->mask & CHANGED);
	if (!exists)
		tell_name(dir_inode, &name, n->mask & GONE, isdir, n->cookie, old_inode ?: dir_inode);
	if (old_inode && (!same || d_inode(path.dentry) != old_inode))
		tell_left(old_inode, n->mask);
	if (exists)
		path_put(&path);
	dput(old);
}

/* 1: somebody watches something in that file system; else nothing was done. */
static int notify(struct husk_notify *n)
{
	struct fd f = fdget_raw(n->fd);
	struct path *path;
	int watched = 0;

	if (!f.file)
		return -EBADF;
	path = &f.file->f_path;
	if (n->name[0] && !d_is_dir(path->dentry)) {
		watched = -ENOTDIR;
	} else if (atomic_long_read(&path->dentry->d_sb->s_fsnotify_connectors)) {
		watched = 1;
		if (n->name[0]) {
			notify_name(path, n);
		} else {
			refresh(path, path->dentry);
			tell_change(path->dentry, n->mask & CHANGED);
		}
	}
	fdput(f);
	return watched;
}

static long husk_notify_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct husk_notify n;

	if (command != HUSK_NOTIFY)
		return -ENOTTY;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (copy_from_user(&n, (void __user *)argument, sizeof(n)))
		return -EFAULT;
	if (strnlen(n.name, sizeof(n.name)) == sizeof(n.name) || strchr(n.name, '/') ||
	    !strcmp(n.name, ".") || !strcmp(n.name, ".."))
		return -EINVAL;
	return notify(&n);
}

static const struct file_operations husk_notify_operations = {
	.unlocked_ioctl = husk_notify_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice husk_notify_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "husk-notify",
	.fops = &husk_notify_operations,
	.mode = 0600,
};

static int __init husk_notify_init(void)
{
	return misc_register(&husk_notify_device);
}
device_initcall(husk_notify_init);
