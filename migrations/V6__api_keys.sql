-- What a row means:
--   api_key   one key of the gateway: whose it is, what it may do, and whether it still may

create table api_key (
    key_id      text        not null,
    name        text        not null,
    secret_hash bytea       not null,
    scopes      text[]      not null,
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz,
    constraint api_key_pkey primary key (key_id),
    constraint api_key_key_id_form check (key_id ~ '^[0-9a-f]{16}$'),
    constraint api_key_name_bounds check (char_length(name) between 1 and 100),
    constraint api_key_secret_hash_sha256 check (octet_length(secret_hash) = 32),
    constraint api_key_scopes_known check (
        cardinality(scopes) > 0 and scopes <@ array['events:write', 'read', 'rules:write'])
);
-- A name can be given again once its key is revoked.
create unique index api_key_name_live on api_key (name) where revoked_at is null;

comment on table api_key is
    'Keys of the gateway. A key is revoked, never deleted; its secret is nowhere.';
comment on column api_key.key_id is 'Public part of the key, 16 hexadecimal digits.';
comment on column api_key.name is 'Whose it is, for people; unique among the keys that are not revoked.';
comment on column api_key.secret_hash is 'SHA-256 of the secret part, which has 256 random bits.';
comment on column api_key.scopes is 'What it may do: events:write, read, rules:write.';
comment on column api_key.created_at is 'When it was made.';
comment on column api_key.revoked_at is 'When it was revoked; null while it is valid.';
