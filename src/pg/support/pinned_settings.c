/*
 * pinned_settings.c
 *		Two opposed sets of the settings on which the text of a value depends.
 *
 * A function that gives the same under both depends on none of them, as far as its
 * arguments show.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "support/pinned_settings.h"

/* A setting, its fixed value, and others that make a difference, best first. */
typedef struct PinnedSetting
{
	const char *name;
	const char *pinned;
	const char *opposed[4];
} PinnedSetting;

#define OTHER_LOCALES                                       \
	{                                                       \
		"de_DE.utf8", "fr_FR.utf8", "en_US.utf8", "C.UTF-8" \
	}

static const PinnedSetting pinned_settings[] = {
	{"TimeZone", "UTC", {"<+0545>-05:45"}},
	{"DateStyle", "ISO, YMD", {"SQL, DMY"}},
	{"IntervalStyle", "postgres", {"sql_standard"}},
	{"extra_float_digits", "1", {"-10"}},
	{"bytea_output", "hex", {"escape"}},
	{"xmlbinary", "base64", {"hex"}},
	{"lc_messages", "C", OTHER_LOCALES},
	{"lc_monetary", "C", OTHER_LOCALES},
	{"lc_numeric", "C", OTHER_LOCALES},
	{"lc_time", "C", OTHER_LOCALES},
	{"quote_all_identifiers", "off", {"on"}},
	/* Both hold only what a superuser may create: the function runs as its table's owner. */
	{"search_path", "pg_catalog, pg_temp", {"pg_catalog, information_schema, pg_temp"}},
};

/* Sets one setting until the GUC nest level ends; whether this server knows the value. */
static bool
set_locally(const char *name, const char *value)
{
	const char *current = GetConfigOption(name, true, false);

	return (current && strcmp(current, value) == 0) ||
		   set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, DEBUG5,
							 false) > 0;
}

void
settings_pin(void)
{
	for (size_t i = 0; i < lengthof(pinned_settings); i++)
		if (!set_locally(pinned_settings[i].name, pinned_settings[i].pinned))
			elog(ERROR, "could not set %s", pinned_settings[i].name);
}

void
settings_oppose(void)
{
	for (size_t i = 0; i < lengthof(pinned_settings); i++)
	{
		const PinnedSetting *setting = &pinned_settings[i];

		for (size_t j = 0; j < lengthof(setting->opposed) && setting->opposed[j]; j++)
			if (set_locally(setting->name, setting->opposed[j]))
				break;
	}
}
