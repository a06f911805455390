-- Tokens that came back: in a message or a deal. Of all that visits carry, they alone lead anywhere.
SELECT token FROM c_messages WHERE token IS NOT NULL
UNION
SELECT token FROM c_deals WHERE token IS NOT NULL
