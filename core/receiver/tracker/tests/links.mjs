// Links as sites write them, and what the tracker must make of them, as the vendors' pages on links say.
// T is the token. An expected link of null: the link is left as it is.
export const ACCOUNTS = {
  'data-whatsapp': '79990001122, +7 (999) 000-33-44, 84912345678',
  'data-telegram': 'shop_bot, @Other_Bot',
  'data-telegram-people': 'anna_sells, +79990001122',
  'data-viber': 'shopviber',
  'data-vk': 'shop, 123456',
  'data-messenger': 'shop.page',
  'data-instagram': 'shop_insta',
};

export const LINKS = [
  // WhatsApp: visible text.
  ['https://wa.me/79990001122', 'https://wa.me/79990001122?text=%5BID%3AT%5D'],
  ['https://wa.me/79990001122/', 'https://wa.me/79990001122?text=%5BID%3AT%5D'],
  ['//wa.me/79990001122?text=', '//wa.me/79990001122?text=%5BID%3AT%5D'],
  ['http://WA.ME/+7(999)000-11-22', 'http://WA.ME/79990001122?text=%5BID%3AT%5D'],
  ['https://wa.me/89990001122', 'https://wa.me/79990001122?text=%5BID%3AT%5D'],
  ['https://wa.me/0079990003344', 'https://wa.me/79990003344?text=%5BID%3AT%5D'],
  ['https://wa.me/84912345678', 'https://wa.me/84912345678?text=%5BID%3AT%5D'],
  ['https://wa.me/79990001122?text=Hello+there', 'https://wa.me/79990001122?text=Hello%20there%20%5BID%3AT%5D'],
  ['https://wa.me/79990001122?text=a%26b%23c%3Fd%25e%2Bf%0Ag', 'https://wa.me/79990001122?text=a%26b%23c%3Fd%25e%2Bf%0Ag%20%5BID%3AT%5D'],
  ['https://wa.me/79990001122?text=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82%0A', 'https://wa.me/79990001122?text=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82%0A%5BID%3AT%5D'],
  ['https://wa.me/79990001122?text=%D9%85%D8%B1%D8%AD%D8%A8%D8%A7', 'https://wa.me/79990001122?text=%D9%85%D8%B1%D8%AD%D8%A8%D8%A7%20%5BID%3AT%5D'],
  ['https://wa.me/79990001122?text=Привет', 'https://wa.me/79990001122?text=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82%20%5BID%3AT%5D'],
  ['https://wa.me/79990001122?text=Hi%20%5BID%3AP3CA02H73HV%5D', 'https://wa.me/79990001122?text=Hi%20%5BID%3AT%5D'],
  ['https://api.whatsapp.com/send?phone=79990001122', 'https://api.whatsapp.com/send?phone=79990001122&text=%5BID%3AT%5D'],
  ['https://api.whatsapp.com/send/?phone=%2B7%20999%20000-11-22&text=Hi&type=phone_number&app_absent=0', 'https://api.whatsapp.com/send/?phone=79990001122&text=Hi%20%5BID%3AT%5D&type=phone_number&app_absent=0'],
  ['https://web.whatsapp.com/send?text=Hi&phone=89990001122', 'https://web.whatsapp.com/send?text=Hi%20%5BID%3AT%5D&phone=79990001122'],
  ['whatsapp://send?phone=+79990001122', 'whatsapp://send?phone=79990001122&text=%5BID%3AT%5D'],
  ['https://wa.me/79995550000', null], // not ours
  ['https://wa.me/89995550000', null],
  ['https://wa.me/message/ABCDEF123', null],
  ['https://wa.me/c/79990001122', null],
  ['https://wa.me/?text=share', null],
  ['https://api.whatsapp.com/send?text=share', null],
  ['https://chat.whatsapp.com/79990001122', null],
  ['https://wa.me/79990001122?text=%CF%F0%E8', null], // windows-1251
  ['https://wa.me.evil.example/79990001122', null],
  ['https://wa.me@evil.example/79990001122', null],
  // Telegram: bots take a start, people a text.
  ['https://t.me/shop_bot', 'https://t.me/shop_bot?start=T'],
  ['https://T.me/Shop_Bot/?start=', 'https://T.me/Shop_Bot/?start=T'],
  ['https://telegram.me/other_bot?start=promo', 'https://telegram.me/other_bot?start=promo__T'],
  ['https://telegram.dog/@shop_bot#x', 'https://telegram.dog/@shop_bot?start=T#x'],
  [`https://t.me/shop_bot?start=${'a'.repeat(51)}`, `https://t.me/shop_bot?start=${'a'.repeat(51)}__T`],
  [`https://t.me/shop_bot?start=${'a'.repeat(52)}`, 'https://t.me/shop_bot?start=T'], // over 64 together
  ['https://t.me/shop_bot?start=a%3Db', 'https://t.me/shop_bot?start=T'], // no legal payload
  ['https://t.me/shop_bot?startgroup=team', 'https://t.me/shop_bot?startgroup=team__T'],
  ['tg://resolve?domain=shop_bot&start=x', 'tg://resolve?domain=shop_bot&start=x__T'],
  ['tg:resolve?domain=shop_bot', 'tg:resolve?domain=shop_bot&start=T'],
  ['https://t.me/anna_sells', 'https://t.me/anna_sells?text=%5BID%3AT%5D'],
  ['https://t.me/+79990001122?text=Hi', 'https://t.me/+79990001122?text=Hi%20%5BID%3AT%5D'],
  ['tg://resolve?phone=79990001122', 'tg://resolve?phone=79990001122&text=%5BID%3AT%5D'],
  ['https://t.me/shop_channel', null], // neither a bot nor a person of ours
  ['https://t.me/+AbCdEf123', null],
  ['https://t.me/joinchat/AAAA', null],
  ['https://t.me/c/123/4', null],
  ['https://t.me/s/shop_bot', null],
  ['https://t.me/share?url=https://shop.example', null],
  ['https://t.me/share/url?url=https://shop.example', null],
  ['https://t.me/addstickers/shop_bot', null],
  ['https://t.me/shop_bot/15', null],
  ['https://t.me/shop_bot?startapp=x', null],
  ['tg://join?invite=AAAA', null],
  // Viber: a hidden context.
  ['viber://pa?chatURI=shopviber', 'viber://pa?chatURI=shopviber&context=T'],
  ['viber://pa?chatURI=ShopViber&context=a%20b&text=Hi', 'viber://pa?chatURI=ShopViber&context=a%20b__T&text=Hi'],
  ['viber://pa?chatURI=another', null],
  ['viber://pa/info?uri=shopviber', null],
  ['viber://chat?number=%2B79990001122', null],
  // VK: a hidden ref.
  ['https://vk.me/shop', 'https://vk.me/shop?ref=T'],
  ['https://vk.me/club123456?ref=sale&ref_source=site', 'https://vk.me/club123456?ref=sale__T&ref_source=site'],
  ['https://vk.me/public123456', 'https://vk.me/public123456?ref=T'],
  ['https://vk.com/write-123456', 'https://vk.com/write-123456?ref=T'],
  ['https://m.vk.com/write-123456', 'https://m.vk.com/write-123456?ref=T'],
  ['https://vk.com/im?sel=-123456', 'https://vk.com/im?sel=-123456&ref=T'],
  ['https://vk.com/write123456', null], // a person
  ['https://vk.com/im?sel=123456', null],
  ['https://vk.com/shop', null], // the community's page, no chat
  ['https://vk.me/join/AAAA', null],
  // Messenger and Instagram: a hidden ref.
  ['https://m.me/shop.page', 'https://m.me/shop.page?ref=T'],
  ['https://m.me/shop.page?ref=w12345', 'https://m.me/shop.page?ref=w12345--T'],
  ['https://m.me/shop.page?ref=w12345--sale&text=Hi', 'https://m.me/shop.page?ref=w12345--sale__T&text=Hi'],
  ['https://m.me/j/AAAA', null],
  ['https://m.me/another', null],
  ['https://ig.me/m/shop_insta', 'https://ig.me/m/shop_insta?ref=T'],
  ['https://ig.me/m/another', null],
  // Nothing to do with messengers.
  ['/contacts?to=https://wa.me/79990001122', null],
  ['#wa.me/79990001122', null],
  ['mailto:shop@example.org', null],
  ['tel:+79990001122', null],
  ['https://shop.example/wa.me/79990001122', null],
  ['', null],
];
