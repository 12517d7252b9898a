// dagger/plugin/abi.h — the door. The only header whose layout is frozen for ever; valid C11 and C++17.
//
// The manifest is plain bytes without relocations in its own ELF section, so that the host reads it from the
// FILE before dlopen() runs any code of the plugin. The host refuses a plugin whose magic, size, API version,
// ABI tag or kind does not fit, and says which.
/* NOLINTBEGIN(modernize-use-using,readability-identifier-naming): C as well */
#ifndef DAGGER_PLUGIN_ABI_H
#define DAGGER_PLUGIN_ABI_H
#include <stddef.h>
#include <stdint.h>

/* Major: any change of an interface, struct or contract. Minor: a new interface, or a new method at the end of
   an interface that the host implements. While major is 0, minor must match exactly. */
#define DAGGER_PLUGIN_API_MAJOR 0
#define DAGGER_PLUGIN_API_MINOR 1

#define DAGGER_MANIFEST_MAGIC "DAGPLUG" /* 7 characters and NUL */
#define DAGGER_MANIFEST_SECTION "dagplug"
#define DAGGER_SCHEMA_SECTION "dagschem" /* JSON Schema of the settings, NUL-terminated; optional */
#define DAGGER_MANIFEST_SYMBOL "dagger_plugin_manifest_v1"
#define DAGGER_CREATE_SYMBOL "dagger_plugin_create_v1"

typedef struct dagger_plugin_manifest {
  char magic[8];
  uint32_t struct_size; /* sizeof as the plugin's compiler saw it */
  uint16_t api_major, api_minor;
  char abi_tag[96]; /* DAGGER_ABI_TAG as the plugin's compiler saw it */
  char kind[16];    /* "snapshotter" "executor" "source" "cache" "secret" "network" */
  char name[32];    /* what the configuration calls it: "git" */
  char version[32]; /* the plugin's own version */
  char vendor[64];
} dagger_plugin_manifest;

/* Returns 0 and sets *out (a dagger::plugin::Plugin*), or a dagger::Code and writes a NUL-terminated message of at
   most err_size bytes. Never throws. host stays valid until the plugin object is destroyed. */
typedef int dagger_plugin_create_fn(void* host, const char* config_json, void** out, char* err, size_t err_size);

/* ---- ABI tag: computed by the compiler of whoever includes this header ---- */
#if defined(__x86_64__)
#define DAGGER_TAG_ARCH "x86_64"
#elif defined(__aarch64__)
#define DAGGER_TAG_ARCH "aarch64"
#else
#error "unsupported architecture"
#endif
#ifdef __cplusplus
#include <string> /* for the library's configuration macros */
#define DAGGER_STR_(x) #x
#define DAGGER_STR(x) DAGGER_STR_(x)
#if defined(__GLIBCXX__)
#define DAGGER_TAG_LIB "libstdc++-cxx11abi" DAGGER_STR(_GLIBCXX_USE_CXX11_ABI)
#elif defined(_LIBCPP_VERSION)
#define DAGGER_TAG_LIB "libc++"
#endif
#if defined(_GLIBCXX_DEBUG)
#define DAGGER_TAG_DEBUG "-debugstl" /* changes the layout of every container */
#else
#define DAGGER_TAG_DEBUG ""
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DAGGER_TAG_SAN "-asan"
#elif __has_feature(thread_sanitizer)
#define DAGGER_TAG_SAN "-tsan"
#endif
#endif
#ifndef DAGGER_TAG_SAN
#if defined(__SANITIZE_ADDRESS__)
#define DAGGER_TAG_SAN "-asan"
#elif defined(__SANITIZE_THREAD__)
#define DAGGER_TAG_SAN "-tsan"
#else
#define DAGGER_TAG_SAN ""
#endif
#endif
#if !defined(__cpp_exceptions) || !defined(__cpp_rtti)
#error "plugins need exceptions and RTTI"
#endif
#define DAGGER_ABI_TAG DAGGER_TAG_ARCH "-itanium-" DAGGER_TAG_LIB DAGGER_TAG_DEBUG DAGGER_TAG_SAN
#endif
#endif
/* NOLINTEND(modernize-use-using,readability-identifier-naming) */
