// core/dag/mount_target.h — where nothing of the user's can be mounted, because the container's own file systems are
// there. Pure.
//
//   /proc          nothing, but for the files that describe the machine (cpuinfo, meminfo, ...), as runc has it: a tree
//                  over any other place would pass for the kernel's word, or hide that a place is masked or read-only
//   /sys           nothing but what lies below /sys/fs, where mount points are meant to be
//   /dev           everything (/dev/shm, /dev/log, ...) but /dev itself and what the runtime puts there, such as
//                  /dev/null
//
// A rule about names: a link of the image may still lead a mount there, where the runtime does not refuse that itself,
// as runc does in /proc. Then the container sees its own tree in place of the kernel's files, and no more of those than
// before: it can unmount nothing, and what is mounted is never a procfs or sysfs.
//
// Files that are written to such paths (withNewFile, withDirectory, redirectStdout) go into the root file system; an
// exec's mounts cover them while it runs, and they are there to be read afterwards.
#pragma once
#include <string_view>

namespace dagger::dag {

// target: clean and absolute. Throws Error{invalid_argument}.
void check_mount_target(std::string_view target);

}  // namespace dagger::dag
