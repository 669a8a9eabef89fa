select transfer_id from transfers where transfer_id = any ($1::text[])
