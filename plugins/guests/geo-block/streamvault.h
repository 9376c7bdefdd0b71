/* The contract in C, as far as a policy plugin without store and clock needs it.
 *
 * The component model lays out its types as C does on wasm32 (its "canonical ABI"): records are structs, an option or variant
 * is a struct of a byte that tells which and a union, texts and lists are a pointer and a count. So nothing has to be
 * generated; the linker checks each signature against the WIT. `wit-bindgen c` makes such a header for all of it.
 *
 * Off wasm, for tests, the same functions are what the test makes them. */
#ifndef STREAMVAULT_H
#define STREAMVAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define SV_IMPORT(interface, name) \
    __attribute__((import_module("streamvault:plugin/" interface "@0.1.0"), import_name(name)))
#define SV_EXPORT(name) __attribute__((export_name(name)))
#else
#define SV_IMPORT(interface, name)
#define SV_EXPORT(name)
#endif

/* UTF-8, no zero at its end. */
typedef struct {
    const char *data;
    size_t length;
} sv_text;

typedef struct {
    bool some;
    sv_text value;
} sv_optional_text;

typedef struct {
    const sv_text *data;
    size_t length;
} sv_texts;

/* A setting; `config.value`. */
typedef struct {
    enum { SV_TEXT, SV_INTEGER, SV_BOOLEAN, SV_TEXTS } __attribute__((packed)) kind;
    union {
        sv_text text;
        int64_t integer;
        bool boolean;
        sv_texts texts;
    } of;
} sv_value;

typedef struct {
    bool some;
    sv_value value;
} sv_optional_value;

/* The request at hand. Good until the hook returns, and to be dropped before it does. */
typedef int32_t sv_request;

typedef struct {
    bool some;
    uint64_t value;
} sv_optional_u64;

typedef struct {
    bool some;
    uint32_t value;
} sv_optional_u32;

typedef struct {
    uint64_t first, last;
} sv_range;

/* All zero: no bound. */
typedef struct {
    sv_optional_u64 bytes_per_second;
    sv_optional_u32 viewer_streams;
    sv_optional_u32 tenant_streams;
    sv_optional_u64 expires;
    struct {
        const sv_range *data;
        size_t length;
    } ranges;
    sv_optional_text viewer;
    sv_optional_u32 keep;
} sv_limits;

typedef struct {
    enum { SV_ALLOW, SV_DENY, SV_REDIRECT } __attribute__((packed)) kind;
    union {
        sv_limits allow;
        struct {
            uint16_t status;
            sv_text text;
        } deny;
        sv_text redirect;
    } of;
} sv_verdict;

#ifdef __wasm__
_Static_assert(sizeof(sv_optional_value) == 24 && offsetof(sv_optional_value, value.of) == 16, "laid out as the contract is");
_Static_assert(sizeof(sv_verdict) == 88 && offsetof(sv_verdict, of.allow.viewer) == 64 && offsetof(sv_verdict, of.allow.keep) == 76, "laid out as the contract is");
#endif

SV_IMPORT("config", "get")
void sv_config_get(const char *name, size_t name_length, sv_optional_value *value);

SV_IMPORT("requests", "[method]request.header")
void sv_request_header(sv_request request, const char *name, size_t name_length, sv_optional_text *value);

SV_IMPORT("requests", "[resource-drop]request")
void sv_request_drop(sv_request request);

/* The plugin's own. The verdict, and what it points to, has to stay until the next call. */
SV_EXPORT("streamvault:plugin/policy@0.1.0#on-request")
const sv_verdict *sv_on_request(sv_request request);

/* Where the gateway's texts go. */
SV_EXPORT("cabi_realloc")
void *sv_realloc(void *old, size_t old_size, size_t alignment, size_t size);

#endif
