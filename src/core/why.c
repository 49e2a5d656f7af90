/* why.c - the reasons of why.def as names and sentences. */
#include "core/decide.h"

static const char *const texts[WHY_COUNT] = {
#define WHY(name, text) [WHY_##name] = text,
#include "core/why.def"
#undef WHY
};

static const char *const names[WHY_COUNT] = {
#define WHY(name, text) [WHY_##name] = #name,
#include "core/why.def"
#undef WHY
};

const char *why_name(enum why why)
{
    assert(why < WHY_COUNT);
    return names[why];
}

const char *why_text(enum why why)
{
    assert(why < WHY_COUNT);
    return texts[why];
}
