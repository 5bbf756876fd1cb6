/* base/hmac.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hmac.h"

#include <string.h>

/* RFC 4231, section 4; a key longer than a block is case 6. */
static void test_hmac__rfc_4231(void **state)
{
    (void)state;
    static const struct {
        const char *key, *message, *hex;
    } table[] = {
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
         "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct digest d = hmac_sha256(table[i].key, strlen(table[i].key), table[i].message,
                                      strlen(table[i].message));
        assert_string_equal(digest_hex(&d).s, table[i].hex);
    }
    char key[131];
    const char *message = "Test Using Larger Than Block-Size Key - Hash Key First";
    memset(key, 0xaa, sizeof key);
    struct digest d = hmac_sha256(key, sizeof key, message, strlen(message));
    assert_string_equal(digest_hex(&d).s,
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_hmac__no_key_is_the_empty_key(void **state)
{
    (void)state;
    struct digest d = hmac_sha256(NULL, 0, "", 0);
    assert_string_equal(digest_hex(&d).s,
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_secret_equal(void **state)
{
    (void)state;
    assert_true(secret_equal("secret", 6, "secret", 6));
    assert_true(secret_equal("", 0, "", 0));
    assert_false(secret_equal("secret", 6, "secreT", 6));
    assert_false(secret_equal("secret", 6, "secret!", 7));
    assert_false(secret_equal("secret", 6, "", 0));
    assert_false(secret_equal("a\0b", 3, "a\0c", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hmac__rfc_4231),
        cmocka_unit_test(test_hmac__no_key_is_the_empty_key),
        cmocka_unit_test(test_secret_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
