/* Refuses viewers of some countries. README.md is for operators. */

#include "streamvault.h"

#define LITERAL(text) ((sv_text){text, sizeof(text) - 1})

/* All memory there is: settings at the bottom, for ever; above them what one call needs. */
static _Alignas(8) char arena[64 << 10];
static size_t used, kept;

void *sv_realloc(void *old, size_t old_size, size_t alignment, size_t size) {
    size_t start = (used + alignment - 1) & ~(alignment - 1);
    if (start > sizeof arena || size > sizeof arena - start) {
        /* The call fails, and with it the request: a policy that can't read its settings must not let anybody in. */
        __builtin_trap();
    }
    used = start + size;
    char *new = arena + start;
    for (size_t at = 0; at < old_size && at < size; at++) {
        new[at] = ((const char *)old)[at];
    }
    return new;
}

static sv_texts blocked;
static sv_text header, message;
static bool unknown_passes, loaded;

static sv_value setting(sv_text name, int kind) {
    sv_optional_value found = {0};
    sv_config_get(name.data, name.length, &found);
    if (!found.some || found.value.kind != kind) {
        /* The manifest gives each a default: without one it isn't ours. */
        __builtin_trap();
    }
    return found.value;
}

static void load(void) {
    blocked = setting(LITERAL("countries"), SV_TEXTS).of.texts;
    header = setting(LITERAL("header"), SV_TEXT).of.text;
    message = setting(LITERAL("message"), SV_TEXT).of.text;
    unknown_passes = setting(LITERAL("unknown"), SV_BOOLEAN).of.boolean;
    kept = used;
    loaded = true;
}

static char upper(char letter) { return letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter; }

static bool same(sv_text a, sv_text b) {
    if (a.length != b.length) {
        return false;
    }
    for (size_t at = 0; at < a.length; at++) {
        if (upper(a.data[at]) != upper(b.data[at])) {
            return false;
        }
    }
    return true;
}

/* Proxies write XX for a country that they don't know, and T1 for Tor. */
static bool is_known(sv_optional_text country) {
    return country.some && country.value.length == 2 && !same(country.value, LITERAL("XX")) &&
           !same(country.value, LITERAL("T1"));
}

static bool passes(sv_optional_text country) {
    if (!is_known(country)) {
        return unknown_passes;
    }
    for (size_t at = 0; at < blocked.length; at++) {
        if (same(country.value, blocked.data[at])) {
            return false;
        }
    }
    return true;
}

const sv_verdict *sv_on_request(sv_request request) {
    static sv_verdict verdict;
    used = kept;
    if (!loaded) {
        load();
    }
    sv_optional_text country = {0};
    sv_request_header(request, header.data, header.length, &country);
    sv_request_drop(request);
    if (passes(country)) {
        verdict = (sv_verdict){.kind = SV_ALLOW};
    } else {
        verdict = (sv_verdict){.kind = SV_DENY, .of.deny = {451, message}};
    }
    return &verdict;
}
