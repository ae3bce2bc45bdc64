/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the words for what an administrator wants of a member. Does not store it: hap_shared and
 * hap_statefile do.
 */
#ifndef HAP_ADMIN_H
#define HAP_ADMIN_H

/** What a member is told to do, with its word in files and messages. */
#define HAP_ADMINS(V)                                                                              \
    V(ENABLED, "enabled")                                                                          \
    V(DRAIN, "drain")     /* keeps its sessions, takes no new ones */                              \
    V(MAINT, "maint")     /* takes nothing */                                                      \
    V(STANDBY, "standby") /* takes something only when no other member can */

/** Who told it. */
#define HAP_ADMIN_SOURCES(V)                                                                       \
    V(CONFIG, "config")     /* BalancerMember status= */                                           \
    V(OPERATOR, "operator") /* a person, on the running server */

#define HAP_ADMIN_ENUM(name, word)  HAP_ADMIN_##name,
#define HAP_SOURCE_ENUM(name, word) HAP_SOURCE_##name,
typedef enum hap_admin_t { HAP_ADMINS(HAP_ADMIN_ENUM) HAP_ADMIN_COUNT } hap_admin_t;
typedef enum hap_admin_source_t {
    HAP_ADMIN_SOURCES(HAP_SOURCE_ENUM) HAP_SOURCE_COUNT
} hap_admin_source_t;
#undef HAP_ADMIN_ENUM
#undef HAP_SOURCE_ENUM

/** The words, by hap_admin_t and hap_admin_source_t. */
extern const char *const hap_admin_names[HAP_ADMIN_COUNT];
extern const char *const hap_admin_source_names[HAP_SOURCE_COUNT];

#endif
