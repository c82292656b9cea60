// SPDX-License-Identifier: Apache-2.0
// Protects packets with DPDK's librte_ipsec on the crypto device that the EAL's options make.
//
// Standard input, one packet a line, "-" for nothing:
//   id mode inner outer esn udp spi sequence cipher cipher_key salt auth auth_key icv_len header packet
// mode: transport or tunnel; inner, outer: 4 or 6; udp: source port or 0; header: Ethernet and the outer IP header of a
// tunnel, in hex; packet: Ethernet and on. Standard output: "id frame", or "id ! reason".

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ipsec.h>
#include <rte_mbuf.h>

#define IV_OFFSET (sizeof(struct rte_crypto_op) + sizeof(struct rte_crypto_sym_op))
#define ROOM 12000

struct job {
	char id[32], mode[16], cipher[32], auth[32];
	char cipher_key[128], salt[32], auth_key[512], header[256], packet[2 * ROOM];
	int inner, outer, esn, udp, icv_len;
	unsigned spi;
	unsigned long long sequence;
};

struct name {
	const char *name;
	int algorithm, iv_len;
};

static const struct name ciphers[] = {
	{"null", RTE_CRYPTO_CIPHER_NULL, 0}, {"aes-cbc", RTE_CRYPTO_CIPHER_AES_CBC, 16},
	{"aes-ctr", RTE_CRYPTO_CIPHER_AES_CTR, 16}, {"3des-cbc", RTE_CRYPTO_CIPHER_3DES_CBC, 8}, {NULL, 0, 0}};
static const struct name auths[] = {
	{"hmac-md5-96", RTE_CRYPTO_AUTH_MD5_HMAC, 0}, {"hmac-sha1-96", RTE_CRYPTO_AUTH_SHA1_HMAC, 0},
	{"hmac-sha256-128", RTE_CRYPTO_AUTH_SHA256_HMAC, 0}, {"hmac-sha384-192", RTE_CRYPTO_AUTH_SHA384_HMAC, 0},
	{"hmac-sha512-256", RTE_CRYPTO_AUTH_SHA512_HMAC, 0}, {"aes-xcbc-96", RTE_CRYPTO_AUTH_AES_XCBC_MAC, 0},
	{"aes-cmac-96", RTE_CRYPTO_AUTH_AES_CMAC, 0}, {NULL, 0, 0}};
static const struct name aeads[] = {
	{"aes-gcm", RTE_CRYPTO_AEAD_AES_GCM, 12}, {"aes-ccm", RTE_CRYPTO_AEAD_AES_CCM, 11},
	{"chacha20-poly1305", RTE_CRYPTO_AEAD_CHACHA20_POLY1305, 12}, {NULL, 0, 0}};

static struct rte_mempool *mbufs, *ops, *sessions;
static uint8_t device;

static int unhex(const char *text, uint8_t *out)
{
	int n = 0;

	if (!strcmp(text, "-"))
		return 0;
	for (; sscanf(text + 2 * n, "%2hhx", &out[n]) == 1; n++)
		;
	return n;
}

static const struct name *find(const struct name *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

// The crypto transform: an AEAD, GMAC alone, or a cipher followed by an authenticator.
static const char *transform(const struct job *job, struct rte_crypto_sym_xform *first,
			     struct rte_crypto_sym_xform *second, uint8_t *cipher_key, uint8_t *auth_key)
{
	const struct name *aead = find(aeads, job->cipher), *cipher = find(ciphers, job->cipher);
	const struct name *auth = find(auths, job->auth);
	int key_len = unhex(job->cipher_key, cipher_key);

	memset(first, 0, sizeof(*first));
	memset(second, 0, sizeof(*second));
	if (aead) {
		first->type = RTE_CRYPTO_SYM_XFORM_AEAD;
		first->aead.algo = aead->algorithm;
		first->aead.op = RTE_CRYPTO_AEAD_OP_ENCRYPT;
		first->aead.key.data = cipher_key;
		first->aead.key.length = key_len;
		first->aead.iv.offset = IV_OFFSET;
		first->aead.iv.length = aead->iv_len;
		first->aead.digest_length = job->icv_len;
		first->aead.aad_length = job->esn ? 12 : 8;
		return NULL;
	}
	if (!strcmp(job->cipher, "aes-gmac")) {
		first->type = RTE_CRYPTO_SYM_XFORM_AUTH;
		first->auth.algo = RTE_CRYPTO_AUTH_AES_GMAC;
		first->auth.op = RTE_CRYPTO_AUTH_OP_GENERATE;
		first->auth.key.data = cipher_key;
		first->auth.key.length = key_len;
		first->auth.iv.offset = IV_OFFSET;
		first->auth.iv.length = 12;
		first->auth.digest_length = job->icv_len;
		return NULL;
	}
	if (!cipher || !auth)
		return "an algorithm that the library lacks";
	first->type = RTE_CRYPTO_SYM_XFORM_CIPHER;
	first->next = second;
	first->cipher.algo = cipher->algorithm;
	first->cipher.op = RTE_CRYPTO_CIPHER_OP_ENCRYPT;
	first->cipher.key.data = cipher_key;
	first->cipher.key.length = key_len;
	first->cipher.iv.offset = IV_OFFSET;
	first->cipher.iv.length = cipher->iv_len;
	second->type = RTE_CRYPTO_SYM_XFORM_AUTH;
	second->auth.algo = auth->algorithm;
	second->auth.op = RTE_CRYPTO_AUTH_OP_GENERATE;
	second->auth.key.data = auth_key;
	second->auth.key.length = unhex(job->auth_key, auth_key);
	second->auth.digest_length = job->icv_len;
	return NULL;
}

static const char *protect(const struct job *job, struct rte_mbuf *mbuf)
{
	struct rte_crypto_sym_xform first, second;
	uint8_t cipher_key[64], auth_key[256], header[128], salt[4] = {0};
	struct rte_ipsec_sa_prm prm = {0};
	struct rte_security_ipsec_xform *ipsec = &prm.ipsec_xform;
	struct rte_ipsec_session session = {0};
	struct rte_crypto_op *op;
	struct rte_mbuf *out = mbuf;
	int tunnel = !strcmp(job->mode, "tunnel"), size;
	const char *fault = transform(job, &first, &second, cipher_key, auth_key);

	if (fault)
		return fault;
	unhex(job->salt, salt);
	ipsec->spi = job->spi;
	memcpy(&ipsec->salt, salt, 4);
	ipsec->options.esn = job->esn;
	ipsec->options.udp_encap = job->udp != 0;
	// In host order: the library turns them.
	ipsec->udp.sport = job->udp;
	ipsec->udp.dport = 4500;
	ipsec->direction = RTE_SECURITY_IPSEC_SA_DIR_EGRESS;
	ipsec->proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP;
	ipsec->esn.value = job->sequence;
	prm.crypto_xform = &first;
	if (tunnel) {
		ipsec->mode = RTE_SECURITY_IPSEC_SA_MODE_TUNNEL;
		ipsec->tunnel.type = job->outer == 4 ? RTE_SECURITY_IPSEC_TUNNEL_IPV4 : RTE_SECURITY_IPSEC_TUNNEL_IPV6;
		prm.tun.hdr = header;
		prm.tun.hdr_len = unhex(job->header, header);
		prm.tun.hdr_l3_off = 14;
		prm.tun.next_proto = job->inner == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	} else {
		ipsec->mode = RTE_SECURITY_IPSEC_SA_MODE_TRANSPORT;
		prm.trs.proto = job->inner == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	}

	size = rte_ipsec_sa_size(&prm);
	if (size < 0)
		return "rte_ipsec_sa_size";
	session.sa = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	memset(session.sa, 0, size);
	if (rte_ipsec_sa_init(session.sa, &prm, size) < 0)
		return "rte_ipsec_sa_init";
	session.type = RTE_SECURITY_ACTION_TYPE_NONE;
	session.crypto.dev_id = device;
	session.crypto.ses = rte_cryptodev_sym_session_create(device, &first, sessions);
	if (!session.crypto.ses)
		return "rte_cryptodev_sym_session_create";
	if (rte_ipsec_session_prepare(&session))
		return "rte_ipsec_session_prepare";

	op = rte_crypto_op_alloc(ops, RTE_CRYPTO_OP_TYPE_SYMMETRIC);
	mbuf->l2_len = 14;
	mbuf->l3_len = job->inner == 4 ? 4 * (*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, 14) & 15) : 40;
	fault = NULL;
	if (rte_ipsec_pkt_crypto_prepare(&session, &out, &op, 1) != 1)
		fault = "rte_ipsec_pkt_crypto_prepare";
	else if (rte_cryptodev_enqueue_burst(device, 0, &op, 1) != 1)
		fault = "enqueue";
	else if (rte_cryptodev_dequeue_burst(device, 0, &op, 1) != 1 || op->status != RTE_CRYPTO_OP_STATUS_SUCCESS)
		fault = "the crypto device failed";
	else if (rte_ipsec_pkt_process(&session, &out, 1) != 1)
		fault = "rte_ipsec_pkt_process";
	rte_crypto_op_free(op);
	rte_cryptodev_sym_session_free(device, session.crypto.ses);
	rte_ipsec_sa_fini(session.sa);
	free(session.sa);
	return fault;
}

static int set_up(int argc, char **argv)
{
	struct rte_cryptodev_config config = {.nb_queue_pairs = 1};
	struct rte_cryptodev_qp_conf pair = {.nb_descriptors = 128};

	if (rte_eal_init(argc, argv) < 0 || rte_cryptodev_count() < 1)
		return -1;
	mbufs = rte_pktmbuf_pool_create("mbufs", 63, 0, 64, ROOM + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	ops = rte_crypto_op_pool_create("ops", RTE_CRYPTO_OP_TYPE_SYMMETRIC, 63, 0, 64, SOCKET_ID_ANY);
	sessions = rte_cryptodev_sym_session_pool_create(
		"sessions", 63, rte_cryptodev_sym_get_private_session_size(device), 0, 0, SOCKET_ID_ANY);
	pair.mp_session = sessions;
	if (!mbufs || !ops || !sessions || rte_cryptodev_configure(device, &config) ||
	    rte_cryptodev_queue_pair_setup(device, 0, &pair, SOCKET_ID_ANY))
		return -1;
	return rte_cryptodev_start(device);
}

int main(int argc, char **argv)
{
	static struct job job;
	static uint8_t packet[ROOM];

	if (set_up(argc, argv)) {
		fprintf(stderr, "no set-up: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	while (scanf("%31s %15s %d %d %d %d %u %llu %31s %127s %31s %31s %511s %d %255s %23999s", job.id, job.mode,
		     &job.inner, &job.outer, &job.esn, &job.udp, &job.spi, &job.sequence, job.cipher, job.cipher_key,
		     job.salt, job.auth, job.auth_key, &job.icv_len, job.header, job.packet) == 16) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(mbufs);
		int length = unhex(job.packet, packet);
		const char *fault;

		memcpy(rte_pktmbuf_append(mbuf, length), packet, length);
		fault = protect(&job, mbuf);
		printf("%s ", job.id);
		if (fault)
			printf("! %s", fault);
		for (int n = 0; !fault && n < rte_pktmbuf_data_len(mbuf); n++)
			printf("%02x", rte_pktmbuf_mtod_offset(mbuf, uint8_t *, n)[0]);
		printf("\n");
		rte_pktmbuf_free(mbuf);
	}
	rte_eal_cleanup();
	return 0;
}
