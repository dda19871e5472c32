"""The operations that the demo runs, as GraphQL documents."""

from __future__ import annotations

from typing import Final

_ERROR: Final = "... on Error { code message }"

CONVERSE: Final = f"""mutation ($input: StartConversationInput!) {{
  startConversation(input: $input) {{ ... on StartConversationSuccess {{ conversation {{ id }} }} {_ERROR} }}
}}"""
SAY: Final = f"""mutation ($input: SendMessageInput!) {{
  sendMessage(input: $input) {{ ... on MessageSuccess {{ node {{ id seq }} }} {_ERROR} }}
}}"""
REACT: Final = f"""mutation ($input: ReactionInput!) {{
  addReaction(input: $input) {{ ... on MessageSuccess {{ node {{ id }} }} {_ERROR} }}
}}"""
POST: Final = f"""mutation ($input: CreatePostInput!) {{
  createPost(input: $input) {{ ... on CreatePostSuccess {{ post {{ id }} }} {_ERROR} }}
}}"""
LIKE: Final = f"""mutation ($input: PostRefInput!) {{
  likePost(input: $input) {{ ... on PostActionSuccess {{ post {{ id }} }} {_ERROR} }}
}}"""
OPEN_WALLET: Final = f"""mutation ($input: OpenWalletInput!) {{
  openWallet(input: $input) {{ ... on OpenWalletSuccess {{ wallet {{ id }} }} {_ERROR} }}
}}"""
TOP_UP: Final = f"""mutation ($input: TopUpWalletInput!) {{
  topUpWallet(input: $input) {{ ... on TransferFundsSuccess {{ transfer {{ id state }} }} {_ERROR} }}
}}"""
TRANSFER: Final = f"""mutation ($input: TransferFundsInput!) {{
  transferFunds(input: $input) {{ ... on TransferFundsSuccess {{ transfer {{ id state }} }} {_ERROR} }}
}}"""
HOLD: Final = f"""mutation ($input: HoldFundsInput!) {{
  holdFunds(input: $input) {{ ... on TransferFundsSuccess {{ transfer {{ id state }} }} {_ERROR} }}
}}"""
CAPTURE: Final = f"""mutation ($input: CaptureHoldInput!) {{
  captureHold(input: $input) {{ ... on TransferFundsSuccess {{ transfer {{ id state }} }} {_ERROR} }}
}}"""
REQUEST: Final = f"""mutation ($input: RequestPaymentInput!) {{
  requestPayment(input: $input) {{ ... on RequestPaymentSuccess {{ paymentRequest {{ id }} }} {_ERROR} }}
}}"""
_SHOP: Final = "id listings(first: 100) { nodes { title } }"
SHOP: Final = f"query ($handle: String!) {{ user(handle: $handle) {{ merchant {{ {_SHOP} }} }} }}"
OPEN_MERCHANT: Final = f"""mutation ($input: OpenMerchantInput!) {{
  openMerchant(input: $input) {{ ... on OpenMerchantSuccess {{ merchant {{ {_SHOP} }} }} {_ERROR} }}
}}"""
OFFER: Final = f"""mutation ($input: CreateListingInput!) {{
  createListing(input: $input) {{
    ... on CreateListingSuccess {{ listing {{ id price {{ amount currency }} }} }}
    {_ERROR}
  }}
}}"""
ORDER: Final = f"""mutation ($input: PlaceOrderInput!) {{
  placeOrder(input: $input) {{ ... on PlaceOrderSuccess {{ order {{ id }} }} {_ERROR} }}
}}"""
PAY: Final = f"""mutation ($input: PayOrderInput!) {{
  payOrder(input: $input) {{ ... on PayOrderSuccess {{ order {{ id }} }} {_ERROR} }}
}}"""
SHIP: Final = f"""mutation ($input: OrderRefInput!) {{
  shipOrder(input: $input) {{ ... on OrderActionSuccess {{ order {{ id }} }} {_ERROR} }}
}}"""
COMPLETE: Final = f"""mutation ($input: OrderRefInput!) {{
  completeOrder(input: $input) {{ ... on OrderActionSuccess {{ order {{ id }} }} {_ERROR} }}
}}"""
CHATS: Final = "query { viewer { conversations(first: 20) { nodes { id kind members { user { handle } } } } } }"
WARES: Final = """query { user(handle: "carol") { listings(first: 20) {
  nodes { id title state kind stock price { amount currency } }
} } }"""
PEOPLE: Final = """query ($handle: String!) { user(handle: $handle) {
  id following(first: 100) { nodes { id handle } } posts(first: 5) { nodes { id } }
} }"""
