/// libcurl for Swift: one typed setter per option that is used, because curl's own are variadic, and memory that is
/// wiped before it is freed. A `long` is a `long`.
#pragma once
#include <curl/curl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

// Memory ----------------------------------------------------------------------------------------------------------------

/// glibc declares it for _DEFAULT_SOURCE only, which the importer of Swift need not define.
extern void explicit_bzero(void *start, size_t count);

/// curl copies headers, bodies and answers into memory of its own; all of it is wiped on its way out.
static inline void ccurl_free(void *block) {
  if (block) {
    explicit_bzero(block, malloc_usable_size(block));
    free(block);
  }
}

static inline void *ccurl_realloc(void *block, size_t count) {
  if (!block) return malloc(count);
  size_t old = malloc_usable_size(block);
  void *moved = malloc(count ? count : 1);
  if (!moved) return NULL;
  memcpy(moved, block, old < count ? old : count);
  ccurl_free(block);
  return moved;
}

static inline CURLcode ccurl_global_init(void) {
  return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, ccurl_free, ccurl_realloc, strdup, calloc);
}

/// Of the library that is loaded, which may be newer than this header.
static inline const curl_version_info_data *ccurl_version_info(void) { return curl_version_info(CURLVERSION_NOW); }

// Threads and clock -----------------------------------------------------------------------------------------------------

/// The name, at most 15 bytes, is what ps and gdb show; signals are other threads' work.
static inline void ccurl_adopt_thread(const char *name) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0);
}

/// Goes on in suspend.
static inline int64_t ccurl_boot_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Options of one transfer -----------------------------------------------------------------------------------------------

#define CCURL_LONG(name, option) \
  static inline CURLcode ccurl_set_##name(CURL *easy, long value) { return curl_easy_setopt(easy, option, value); }
#define CCURL_TEXT(name, option) \
  static inline CURLcode ccurl_set_##name(CURL *easy, const char *value) { \
    return curl_easy_setopt(easy, option, value); \
  }

CCURL_TEXT(url, CURLOPT_URL)
CCURL_TEXT(protocols, CURLOPT_PROTOCOLS_STR)
CCURL_TEXT(redirect_protocols, CURLOPT_REDIR_PROTOCOLS_STR)
CCURL_TEXT(user_agent, CURLOPT_USERAGENT)
CCURL_TEXT(accept_encoding, CURLOPT_ACCEPT_ENCODING)
CCURL_TEXT(custom_request, CURLOPT_CUSTOMREQUEST)
CCURL_TEXT(ca_file, CURLOPT_CAINFO)
CCURL_TEXT(client_certificate, CURLOPT_SSLCERT)
CCURL_TEXT(client_key, CURLOPT_SSLKEY)
CCURL_TEXT(ca_path, CURLOPT_CAPATH)
CCURL_TEXT(proxy, CURLOPT_PROXY)
CCURL_TEXT(no_proxy, CURLOPT_NOPROXY)
CCURL_TEXT(proxy_ca_file, CURLOPT_PROXY_CAINFO)
CCURL_TEXT(proxy_ca_path, CURLOPT_PROXY_CAPATH)

CCURL_LONG(no_signal, CURLOPT_NOSIGNAL)
CCURL_LONG(quick_exit, CURLOPT_QUICK_EXIT)
CCURL_LONG(follow_location, CURLOPT_FOLLOWLOCATION)
CCURL_LONG(refuse_user_in_url, CURLOPT_DISALLOW_USERNAME_IN_URL)
CCURL_LONG(netrc, CURLOPT_NETRC)
CCURL_LONG(http_version, CURLOPT_HTTP_VERSION)
CCURL_LONG(buffer_bytes, CURLOPT_BUFFERSIZE)
CCURL_LONG(get, CURLOPT_HTTPGET)
CCURL_LONG(no_body, CURLOPT_NOBODY)
CCURL_LONG(post, CURLOPT_POST)
CCURL_LONG(fresh_connect, CURLOPT_FRESH_CONNECT)
CCURL_LONG(connection_lifetime_seconds, CURLOPT_MAXLIFETIME_CONN)
CCURL_LONG(connect_timeout_ms, CURLOPT_CONNECTTIMEOUT_MS)
CCURL_LONG(tcp_keepalive, CURLOPT_TCP_KEEPALIVE)
CCURL_LONG(header_option, CURLOPT_HEADEROPT)
CCURL_LONG(suppress_connect_headers, CURLOPT_SUPPRESS_CONNECT_HEADERS)
CCURL_LONG(tls_version, CURLOPT_SSLVERSION)
CCURL_LONG(verify_peer, CURLOPT_SSL_VERIFYPEER)
CCURL_LONG(verify_host, CURLOPT_SSL_VERIFYHOST)
CCURL_LONG(ca_cache_seconds, CURLOPT_CA_CACHE_TIMEOUT)
CCURL_LONG(proxy_tls_version, CURLOPT_PROXY_SSLVERSION)
CCURL_LONG(proxy_verify_peer, CURLOPT_PROXY_SSL_VERIFYPEER)
CCURL_LONG(proxy_verify_host, CURLOPT_PROXY_SSL_VERIFYHOST)

#undef CCURL_LONG
#undef CCURL_TEXT

/// curl copies the bytes.
static inline CURLcode ccurl_set_post_body(CURL *easy, const void *bytes, size_t count) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)count);
  return code ? code : curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, bytes);
}

/// curl does not copy the list: it must live until the transfer has ended.
static inline CURLcode ccurl_set_headers(CURL *easy, struct curl_slist *list) {
  return curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
}

/// At least CURL_ERROR_SIZE bytes that live as long as the handle.
static inline CURLcode ccurl_set_error_buffer(CURL *easy, char *buffer) {
  return curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, buffer);
}

typedef size_t (*ccurl_data_function)(char *bytes, size_t one, size_t count, void *context);
static inline CURLcode ccurl_set_write(CURL *easy, ccurl_data_function function, void *context) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, function);
  return code ? code : curl_easy_setopt(easy, CURLOPT_WRITEDATA, context);
}
static inline CURLcode ccurl_set_header(CURL *easy, ccurl_data_function function, void *context) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, function);
  return code ? code : curl_easy_setopt(easy, CURLOPT_HEADERDATA, context);
}

typedef int (*ccurl_prerequest_function)(
  void *context, char *remote_address, char *local_address, int remote_port, int local_port);
static inline CURLcode ccurl_set_prerequest(CURL *easy, ccurl_prerequest_function function, void *context) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, function);
  return code ? code : curl_easy_setopt(easy, CURLOPT_PREREQDATA, context);
}

// What is known of a transfer: 0, or NULL, where curl knows nothing --------------------------------------------------------

static inline long ccurl_info_long(CURL *easy, CURLINFO what) {
  long value = 0;
  return curl_easy_getinfo(easy, what, &value) ? 0 : value;
}
static inline int64_t ccurl_info_offset(CURL *easy, CURLINFO what) {
  curl_off_t value = 0;
  return curl_easy_getinfo(easy, what, &value) ? 0 : (int64_t)value;
}
static inline const char *ccurl_info_text(CURL *easy, CURLINFO what) {
  char *value = NULL;
  return curl_easy_getinfo(easy, what, &value) ? NULL : value;
}

// Many transfers --------------------------------------------------------------------------------------------------------

static inline CURLMcode ccurl_multi_set_host_connections(CURLM *multi, long value) {
  return curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, value);
}
static inline CURLMcode ccurl_multi_set_total_connections(CURLM *multi, long value) {
  return curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, value);
}
static inline CURLMcode ccurl_multi_set_kept_connections(CURLM *multi, long value) {
  return curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, value);
}

/// The next transfer that has ended, or NULL.
static inline CURL *ccurl_multi_next_ended(CURLM *multi, CURLcode *result) {
  int left = 0;
  for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));)
    if (message->msg == CURLMSG_DONE) {
      *result = message->data.result;
      return message->easy_handle;
    }
  return NULL;
}
