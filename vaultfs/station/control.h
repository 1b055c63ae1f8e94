/* SPDX-License-Identifier: MIT */
/*
 * Wire form of the control socket (SOCK_SEQPACKET, JSON after one type byte):
 *   request   'Q' {"v":1,"do":"status"|"seal"|"receive","names":[...]}; receive carries as many descriptors (SCM_RIGHTS), at most 32
 *   answers   'D' piece of a document · 'T' one told file · 'E' {"err":N,"text":"..."}, the last
 */
#ifndef VF_CONTROL_H
#define VF_CONTROL_H

#include <vaultfs/station.h>

#define VF_CONTROL_PACKET 60000
#define VF_CONTROL_FILES  32

bool vf_control_send(int sock, char type, const void *data, size_t len, const int *fds, size_t nfds);
/* One packet into buf (NUL put behind it); its type, or 0 at the end. Descriptors beyond max_fds are closed. */
char vf_control_recv(int sock, char *buf, size_t size, size_t *ret_len, int *fds, size_t max_fds, size_t *ret_nfds);
/* Which filesystem something is on, and whether it is a file, as this kernel knows it: nobody else is asked, so it never hangs. */
struct vf_control_disk {
    uint32_t major, minor;
    bool regular;
};
bool vf_control_disk_of_fd(int fd, struct vf_control_disk *ret);
bool vf_control_disk_of(const char *station, struct vf_control_disk *ret); /* that of a station's files */
/* Folder for sockets: $XDG_RUNTIME_DIR/vaultfs, /run/vaultfs for root, /run/user/UID/vaultfs, /tmp/vaultfs-UID; 0700 and ours, or refused. */
enum vf_err vf_control_folder(bool make, struct vf_buf *ret, struct vf_why *why);

#endif
