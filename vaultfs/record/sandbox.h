/* SPDX-License-Identifier: MIT */
/* record, internal: what goes back and forth between a sandbox and its owner, and what a test puts in the decoder's place. */
#ifndef VAULTFS_RECORD_SANDBOX_H
#define VAULTFS_RECORD_SANDBOX_H

#include "vaultfs/record.h"

#include <signal.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VF_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VF_SANITIZED 1
#endif

#define VF_IMAGE_OUT_MAX (1024u * 1024)

/* Shared memory of one lane. The owner writes the question and waits; the answer is read when the process that wrote it is gone. */
struct vf_tray {
    uint32_t field, fit, decode;
    uint64_t len;
    struct {
        uint32_t err, len, width, height, orientation, found; /* bits in the order of the report's members */
        char text[sizeof(((struct vf_why *)0)->text)];
    } answer;
    uint8_t out[VF_IMAGE_OUT_MAX];
    uint8_t in[VF_IMAGE_SOURCE_MAX];
};

/* What the process does with a tray: clean the picture, unless a test has it misbehave. */
typedef void vf_tray_work(struct vf_tray *tray);
VF_MUST_USE enum vf_err vf_image_sandbox_start_with(unsigned lanes, vf_tray_work *work, unsigned cpu_seconds,
                                                    struct vf_image_sandbox **ret, struct vf_why *why);
void vf_tray_clean(struct vf_tray *tray);

/* sandbox_process.c: in the lane's own process, for as long as the owner keeps the other end of `sock`. Never returns. */
void vf_sandbox_main(int sock, struct vf_tray *tray, vf_tray_work *work, unsigned cpu_seconds) __attribute__((noreturn));
/* Its answers, as ints: what waitpid says of the process that had the picture, or one of these. */
#define VF_SANDBOX_NO_FORK   (-1)
#define VF_SANDBOX_NO_FILTER (-2) /* once, instead of VF_SANDBOX_READY: seccomp cannot be had */
#define VF_SANDBOX_READY     (-3)
/* The signal that ends a process which could not shut itself in: one that was can send none, and exit as it likes. */
#define VF_SANDBOX_OPEN SIGUSR2

#endif
