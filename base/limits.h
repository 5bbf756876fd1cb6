/*
 * What we accept from outside, in one place. Registries, images and recipes are untrusted: each
 * number bounds memory or time that somebody else could make us spend.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdint.h>

/* A change's content in memory, of what repair writes: Apptainer's files. */
#define LIMIT_CHANGE_COPY_BYTES ((size_t)1 << 20)

#define LIMIT_MANIFEST_BYTES ((size_t)4 << 20) /* OCI distribution: "at least 4 megabytes" */
#define LIMIT_CONFIG_BYTES   ((size_t)8 << 20)
/* The two above are what holds unless the site's configuration says otherwise, up to these. */
#define LIMIT_MANIFEST_BYTES_MAX   ((size_t)64 << 20)
#define LIMIT_CONFIG_BYTES_MAX     ((size_t)64 << 20)
#define LIMIT_TOKEN_BYTES          ((size_t)1 << 20) /* answer of a token service */
#define LIMIT_SIGNATURE_BYTES      ((size_t)1 << 20) /* the payload of one */
#define LIMIT_AUTH_FILE_BYTES      ((size_t)1 << 20) /* ~/.docker/config.json and its like */
#define LIMIT_TAGS_PAGE_BYTES      ((size_t)16 << 20)
#define LIMIT_TAGS                 ((size_t)100000)   /* of one repository */
#define LIMIT_HEADER_BYTES         ((size_t)64 << 10) /* all response headers together */
#define LIMIT_LAYERS               ((size_t)512)      /* of one image; Docker itself stops at 127 */
#define LIMIT_INDEX_MANIFESTS      ((size_t)1000)
#define LIMIT_RECIPE_BYTES         ((size_t)4 << 20)
#define LIMIT_RECIPE_ENTRIES       ((size_t)100000)
#define LIMIT_RECIPE_LISTS         ((size_t)1000)
#define LIMIT_RECIPE_FILES         ((size_t)64) /* with all that are included */
#define LIMIT_RECIPE_INCLUDE_DEPTH ((size_t)8)
#define LIMIT_PUBLIC_KEY_BYTES     ((size_t)64 << 10)
#define LIMIT_SOURCE_TREE_BYTES    ((size_t)16 << 20)  /* one folder of a git repository */
#define LIMIT_SOURCE_GIT_BYTES     ((uint64_t)4 << 30) /* that one fetch may bring */
#define LIMIT_REFERENCE_BYTES      ((size_t)2048)
#define LIMIT_ENV                  ((size_t)10000) /* environment values of one image */

#define LIMIT_LAYER_ENTRIES ((size_t)20000000)
#define LIMIT_LAYER_BYTES   ((uint64_t)1 << 40) /* unpacked size of one layer */
#define LIMIT_NAME_BYTES    ((size_t)255)       /* NAME_MAX */
/* PATH_MAX less what stands before it: "/cvmfs/REPOSITORY/.layers/xx/DIGEST/layerfs/". */
#define LIMIT_PATH_BYTES   ((size_t)3840)
#define LIMIT_SYMLINK_HOPS 40                  /* as the kernel */
#define LIMIT_PAX_BYTES    ((size_t)1 << 20)   /* extended headers of one entry */
#define LIMIT_XATTR_BYTES  ((size_t)256 << 10) /* extended attributes of one entry */

#endif
