/*
 * pinned_settings.h
 *		The settings on which the text of a value depends.
 */
#ifndef DBCRYPT_PINNED_SETTINGS_H
#define DBCRYPT_PINNED_SETTINGS_H

/*
 * Sets every such setting to a fixed value; settings_oppose to another one. Both last
 * until the current GUC nest level ends (NewGUCNestLevel, AtEOXact_GUC).
 */
extern void settings_pin(void);
extern void settings_oppose(void);

#endif
