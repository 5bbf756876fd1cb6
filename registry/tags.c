/* tags/list, page by page: OCI distribution specification, "Listing Tags". */
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/endpoint.h"
#include "registry/link.h"
#include "registry/request.h"
#include "registry/url.h"

#include <string.h>

#define PAGES_MAX 10000 /* a registry may give fewer tags a page than we ask for */

struct listing {
    struct registry_client *client;
    const struct reference *ref;
    const struct endpoint *at; /* all pages come from one place */
    int (*found)(void *arg, const char *tag, struct error *err);
    void *arg;
    size_t tags;
    char **urls; /* of the pages so far, the current one last */
    size_t url_count, url_capacity;
};

/* Takes `url`. */
static int next_page(struct listing *listing, char *url, struct error *err)
{
    for (size_t i = 0; i < listing->url_count; i++) {
        if (strcmp(listing->urls[i], url) == 0) {
            free(url);
            return error_set(err, ERROR_NET, "the pages of tags go in a circle");
        }
    }
    ARRAY_GROW(listing->urls, listing->url_count, listing->url_capacity);
    listing->urls[listing->url_count++] = url;
    if (listing->url_count > PAGES_MAX)
        return error_set(err, ERROR_LIMIT, "more than %d pages of tags", PAGES_MAX);
    return 0;
}

/* 1 if there is another page, 0 if not. It must lie with the same registry: our Authorization goes
 * there. */
static int follow_link(struct listing *listing, const struct http_response *response,
                       struct error *err)
{
    const char *current = listing->urls[listing->url_count - 1];
    _cleanup_free_ char *header = http_headers_joined(response, "link");
    _cleanup_free_ char *target = header ? link_find(header, "next") : NULL;
    if (!target || !*target)
        return 0;
    _cleanup_free_ char *url = url_resolve(current, target, err);
    if (!url)
        return error_wrap(err, "link to the next page of tags");
    if (!url_same_origin(current, url)) {
        _cleanup_free_ char *shown = url_shown(url);
        return error_set(err, ERROR_NET,
                         "the next page of tags is said to be at another server: %s", shown);
    }
    return next_page(listing, TAKE_PTR(url), err) < 0 ? -1 : 1;
}

/* Names that are no tags cannot be asked for, and must not become paths: skipped. */
static int read_tags(struct listing *listing, const struct buf *body, struct error *err)
{
    const char *what = "list of tags";
    json_t *tags = NULL, *tag;
    size_t i;
    _cleanup_json_ json_t *doc =
        json_parse(what, body->data, body->len, LIMIT_TAGS_PAGE_BYTES, err);
    if (!doc || json_get_optional_array(doc, what, "tags", &tags, err) < 0)
        return -1;
    if (!json_is_object(doc))
        return error_set(err, ERROR_PARSE, "%s: expected a JSON object", what);
    listing->tags += json_array_size(tags);
    if (listing->tags > LIMIT_TAGS)
        return error_set(err, ERROR_LIMIT, "more than %zu tags", LIMIT_TAGS);
    json_array_foreach(tags, i, tag)
    {
        const char *name = json_string_value(tag);
        if (!name)
            return error_set(err, ERROR_PARSE, "%s: expected strings", what);
        if (reference_tag_is_valid(name) && listing->found(listing->arg, name, err) < 0)
            return -1;
    }
    return 0;
}

/* 1 if there is another page, 0 if not. */
static int list_page(struct listing *listing, struct error *err)
{
    struct http_response response;
    const char *url = listing->urls[listing->url_count - 1];
    struct registry_request request = {
        .kind = REQUEST_LIST_TAGS,
        .ref = listing->ref,
        .http = {.url = url, .accept = "application/json", .max_body_bytes = LIMIT_TAGS_PAGE_BYTES},
    };
    if (request_send_to(listing->client, listing->at, &request, &response, err) < 0)
        return -1;
    int rc = read_tags(listing, &response.body, err);
    if (rc == 0 && (rc = follow_link(listing, &response, err)) < 0) {
        _cleanup_free_ char *shown = url_shown(url);
        error_wrap(err, "%s", shown);
    }
    http_response_release(&response);
    return rc;
}

static int list_from(void *arg, const struct endpoint *at, struct error *err)
{
    struct listing listing = *(struct listing *)arg;
    listing.at = at;
    int more = next_page(&listing, endpoint_url(at, "tags/list?n=1000"), err) < 0 ? -1 : 1;
    while (more > 0)
        more = list_page(&listing, err);
    for (size_t i = 0; i < listing.url_count; i++)
        free(listing.urls[i]);
    free(listing.urls);
    return more;
}

int registry_list_tags(struct registry_client *client, const struct reference *ref,
                       int (*found)(void *arg, const char *tag, struct error *err), void *arg,
                       struct error *err)
{
    struct listing listing = {.client = client, .ref = ref, .found = found, .arg = arg};
    return request_anywhere(client, ref, list_from, &listing, err);
}
