/* Runs the plugin without a gateway: `cc -o test geo_block_test.c && ./test`. */

#include "geo_block.c"

#include <stdio.h>
#include <string.h>

static const char *country_header;
static bool passes_unknown;
static int dropped, failed;

void sv_config_get(const char *name, size_t name_length, sv_optional_value *value) {
    static const sv_text countries[] = {{"KP", 2}, {"ru", 2}};
    value->some = true;
    if (strncmp(name, "countries", name_length) == 0) {
        value->value = (sv_value){.kind = SV_TEXTS, .of.texts = {countries, 2}};
    } else if (strncmp(name, "header", name_length) == 0) {
        value->value = (sv_value){.kind = SV_TEXT, .of.text = LITERAL("cf-ipcountry")};
    } else if (strncmp(name, "message", name_length) == 0) {
        value->value = (sv_value){.kind = SV_TEXT, .of.text = LITERAL("Not here.")};
    } else if (strncmp(name, "unknown", name_length) == 0) {
        value->value = (sv_value){.kind = SV_BOOLEAN, .of.boolean = passes_unknown};
    }
}

void sv_request_header(sv_request request, const char *name, size_t name_length, sv_optional_text *value) {
    (void)request;
    value->some = country_header != NULL && strncmp(name, "cf-ipcountry", name_length) == 0;
    if (value->some) {
        /* As the gateway does it: into memory that the plugin gives. */
        size_t length = strlen(country_header);
        value->value = (sv_text){memcpy(sv_realloc(NULL, 0, 1, length), country_header, length), length};
    }
}

void sv_request_drop(sv_request request) {
    (void)request;
    dropped++;
}

static void expect(const char *country, bool wanted) {
    country_header = country;
    dropped = 0;
    const sv_verdict *verdict = sv_on_request(7);
    bool refused = verdict->kind == SV_DENY && verdict->of.deny.status == 451 && same(verdict->of.deny.text, message);
    if ((verdict->kind == SV_ALLOW) != wanted || (!wanted && !refused) || dropped != 1) {
        printf("%s (unknown passes: %d): verdict %d, dropped %d times\n", country ? country : "no header", passes_unknown,
               verdict->kind, dropped);
        failed = 1;
    }
}

int main(void) {
    for (int unknown = 0; unknown < 2; unknown++) {
        passes_unknown = unknown;
        loaded = false;
        expect("DE", true);
        expect("KP", false);
        expect("kp", false);
        expect("RU", false);
        expect("XX", unknown);
        expect("T1", unknown);
        expect("", unknown);
        expect("Germany", unknown);
        expect(NULL, unknown);
    }
    /* What a call took is free in the next. */
    for (int call = 0; call < 100000; call++) {
        expect("KP", false);
    }
    return failed;
}
