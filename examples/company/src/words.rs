//! The words people use here: names, pages, phrases, in Russian, Arabic and English. The company is a photo
//! studio with customers in several countries.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lang {
    Ru,
    Ar,
    En,
}

impl Lang {
    pub fn code(self) -> &'static str {
        match self {
            Lang::Ru => "ru",
            Lang::Ar => "ar",
            Lang::En => "en",
        }
    }
    fn at(self) -> usize {
        self as usize
    }
}

/// A country, how its mobile numbers begin (then seven digits, or six for `US`), and its cities.
pub struct Country {
    pub iso: &'static str,
    pub id: u32,
    pub lang: Lang,
    pub weight: u32,
    pub prefixes: &'static [&'static str],
    pub tail: u32,
    pub minutes_east: i32,
    pub cities: &'static [(&'static str, u32)],
}

pub const COUNTRIES: &[Country] = &[
    Country {
        iso: "RU",
        id: 225,
        lang: Lang::Ru,
        weight: 640,
        prefixes: &[
            "7903", "7905", "7906", "7909", "7910", "7915", "7916", "7917", "7919", "7925", "7926", "7985",
        ],
        tail: 7,
        minutes_east: 180,
        cities: &[("Moscow", 213), ("Saint Petersburg", 2), ("Kazan", 43), ("Yekaterinburg", 54)],
    },
    Country {
        iso: "KZ",
        id: 159,
        lang: Lang::Ru,
        weight: 70,
        prefixes: &["7701", "7702", "7705", "7707", "7747", "7775", "7777"],
        tail: 7,
        minutes_east: 300,
        cities: &[("Almaty", 162), ("Astana", 163)],
    },
    Country {
        iso: "AE",
        id: 210,
        lang: Lang::Ar,
        weight: 100,
        prefixes: &["97150", "97152", "97154", "97155", "97156", "97158"],
        tail: 7,
        minutes_east: 240,
        cities: &[("Dubai", 11_499), ("Abu Dhabi", 11_498)],
    },
    Country {
        iso: "SA",
        id: 10_540,
        lang: Lang::Ar,
        weight: 50,
        prefixes: &["96650", "96653", "96654", "96655", "96656"],
        tail: 7,
        minutes_east: 180,
        cities: &[("Riyadh", 10_541), ("Jeddah", 21_575)],
    },
    Country {
        iso: "US",
        id: 84,
        lang: Lang::En,
        weight: 70,
        prefixes: &["12124", "14154", "16464", "17024", "13054"],
        tail: 6,
        minutes_east: -300,
        cities: &[("New York", 202), ("San Francisco", 90)],
    },
    Country {
        iso: "GB",
        id: 102,
        lang: Lang::En,
        weight: 70,
        prefixes: &["44741", "44742", "44743", "44744"],
        tail: 7,
        minutes_east: 60,
        cities: &[("London", 10_393)],
    },
];

pub fn first_names(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => &[
            "Анна",
            "Мария",
            "Ольга",
            "Елена",
            "Дмитрий",
            "Алексей",
            "Сергей",
            "Наталья",
            "Ирина",
            "Артём",
            "Юлия",
            "Павел",
            "Полина",
            "Игорь",
            "Светлана",
            "Михаил",
        ],
        Lang::Ar => {
            &["محمد", "أحمد", "فاطمة", "عائشة", "يوسف", "مريم", "خالد", "نورة", "سعيد", "ليلى", "عمر", "هدى"]
        }
        Lang::En => &[
            "James", "Olivia", "Liam", "Emma", "Noah", "Sophia", "Zoë", "Jack", "Amelia", "O'Brien", "Grace",
            "Henry",
        ],
    }
}

pub fn last_names(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => &[
            "Иванова",
            "Петров",
            "Смирнова",
            "Кузнецов",
            "Соколова",
            "Попов",
            "Лебедева",
            "Козлов",
            "Новикова",
            "Морозов",
            "Волкова",
            "Ёлкин",
            "",
        ],
        Lang::Ar => &["العلي", "الحربي", "المنصوري", "القحطاني", "الزهراني", "الشامسي", "النعيمي", ""],
        Lang::En => &["Smith", "Taylor", "Brown", "Wilson", "Clarke", "Khan", "Müller", ""],
    }
}

/// A page of the site: path, titles and the phrases its WhatsApp button prepares, by language.
pub struct Page {
    pub path: &'static str,
    pub title: [&'static str; 3],
    pub prefill: [&'static str; 3],
}

pub const PAGES: &[Page] = &[
    Page {
        path: "",
        title: ["Фотостудия «Свет»", "استوديو الضوء للتصوير", "Svet photo studio"],
        prefill: [
            "Здравствуйте! Хочу узнать подробнее о съёмке.",
            "مرحبا، أريد معرفة المزيد عن التصوير.",
            "Hello! I would like to know more about a photo shoot.",
        ],
    },
    Page {
        path: "children/",
        title: ["Детская фотосессия\tот 9 900 ₽", "جلسة تصوير أطفال", "Children's photo shoot"],
        prefill: [
            "Здравствуйте! Сколько стоит детская фотосессия?",
            "مرحبا، كم سعر جلسة تصوير الأطفال؟",
            "Hi! How much is a children's photo shoot?",
        ],
    },
    Page {
        path: "family/",
        title: ["Семейная съёмка", "تصوير عائلي", "Family portraits"],
        prefill: [
            "Добрый день! Интересует семейная съёмка",
            "مرحبا، أنا مهتم بالتصوير العائلي",
            "Good day! I am interested in a family shoot",
        ],
    },
    Page {
        path: "wedding/",
        title: ["Свадебный фотограф \\ видео", "تصوير حفلات الزفاف", "Wedding photo & video"],
        prefill: [
            "Здравствуйте! Свободна ли дата для свадебной съёмки?",
            "مرحبا، هل التاريخ متاح لتصوير الزفاف؟",
            "Hello! Is the date free for a wedding shoot?",
        ],
    },
    Page {
        path: "business/",
        title: ["Деловой портрет", "صور مهنية", "Business portrait"],
        prefill: [
            "Здравствуйте! Нужен деловой портрет для 5 человек",
            "مرحبا، نحتاج صورا مهنية لخمسة أشخاص",
            "Hello! We need business portraits for 5 people",
        ],
    },
    Page {
        path: "gift/",
        title: ["Подарочный сертификат 🎁", "بطاقة هدية", "Gift card"],
        prefill: [
            "Здравствуйте! Хочу купить сертификат 🎁",
            "مرحبا، أريد شراء بطاقة هدية 🎁",
            "Hello! I want to buy a gift card 🎁",
        ],
    },
];

impl Page {
    pub fn title(&self, lang: Lang) -> &'static str {
        self.title[lang.at()]
    }
    pub fn prefill(&self, lang: Lang) -> &'static str {
        self.prefill[lang.at()]
    }
}

/// First messages of people who did not use the prepared phrase.
pub fn own_words(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => &[
            "Привет, есть запись на субботу?",
            "Добрый вечер. Сколько стоит? Мой номер 79160000098",
            "Здравствуйте, я у вас уже снималась, хочу ещё раз",
            "заказ 20250811, когда будут готовы фото?",
        ],
        Lang::Ar => &["السلام عليكم، هل يوجد موعد يوم السبت؟", "كم السعر؟", "أريد حجز موعد جديد"],
        Lang::En => &["Hey, any slots on Saturday?", "Hi, how much is it?", "Hello, I'd like to book again"],
    }
}

pub fn follow_ups(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => {
            &["А можно в воскресенье?", "Спасибо!", "Адрес подскажите, пожалуйста", "Хорошо, записывайте 👍"]
        }
        Lang::Ar => &["هل يمكن يوم الأحد؟", "شكرا", "أين العنوان؟"],
        Lang::En => &["Could it be Sunday?", "Thanks!", "What's the address?", "OK, book me in 👍"],
    }
}

pub fn answers(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => {
            &["Добрый день! Стоимость от 9 900 ₽", "Да, есть время в 12:00 и 15:30", "Записала вас, ждём!"]
        }
        Lang::Ar => &["أهلا بكم، السعر يبدأ من 500 درهم", "نعم، يوجد موعد الساعة 12"],
        Lang::En => &["Hello! Prices start at £120", "Yes, we have 12:00 and 15:30", "You are booked!"],
    }
}

pub fn stop_words(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => &["СТОП", "Стоп", "отписаться"],
        Lang::Ar => &["إلغاء الاشتراك", "توقف"],
        Lang::En => &["STOP", "Stop", "unsubscribe"],
    }
}

pub fn broadcast_replies(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Ru => &["Интересно, расскажите про акцию", "А до какого числа скидка?"],
        Lang::Ar => &["ما تفاصيل العرض؟"],
        Lang::En => &["Sounds good, tell me more"],
    }
}

/// (name, e-mail, team)
pub const OPERATORS: &[(&str, &str, &str)] = &[
    ("Виктория Орлова", "v.orlova@studio.example", "Продажи"),
    ("Никита Белов", "n.belov@studio.example", "Продажи"),
    ("Дарья Ким", "d.kim@studio.example", "Продажи"),
    ("سارة الهاشمي", "s.hashimi@studio.example", "International"),
    ("Tom Baker", "t.baker@studio.example", "International"),
    ("Оксана Гринь", "o.grin@studio.example", "Корпоративные клиенты"),
];

pub const BROADCASTS: &[&str] = &["autumn_sale", "school_album"];

pub const LOSS_REASONS: &[(u32, &str)] = &[
    (7_100_001, "Дорого"),
    (7_100_002, "Выбрали других"),
    (7_100_003, "Пропал"),
    (7_100_004, "Не наш профиль"),
];
